"""Weights that are known at compile time: constants, and those that are stored in fewer bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tvm
from tvm import relax
from tvm_ffi.structural import structural_mutate

from edgecompile.storage.operators import is_decode

_PRODUCTS = ("relax.matmul", "relax.nn.conv2d", "relax.nn.conv2d_transpose")


def is_known(weight: relax.Expr) -> bool:
    """True for a constant, and for the call that stands for a stored weight; see `with_stored_weights`."""
    return isinstance(weight, tvm.ir.GenericConst) or is_decode(weight)


def with_stored_weights(value: relax.Expr, stored: Mapping[relax.Var, relax.Expr]) -> relax.Expr:
    """A binding's value; where it multiplies by a stored weight, with the call of `decode` in the weight's place."""

    def on_variable(variable: tvm.ir.Var, mutator: Any) -> relax.Expr:
        del mutator
        return stored.get(variable, variable)

    is_product = isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) and value.op.name in _PRODUCTS
    if not is_product or value.args[1] not in stored:
        return value
    return structural_mutate(value, ((tvm.ir.Var, on_variable),))
