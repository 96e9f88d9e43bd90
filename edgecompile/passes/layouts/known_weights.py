"""Weights that are known at compile time: constants, and those that are stored in fewer bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm_ffi.structural import structural_mutate

from edgecompile.implementation import Implementation
from edgecompile.storage.operators import decode, is_decode, stored_weight

_PRODUCTS = ("relax.matmul", "relax.nn.conv2d", "relax.nn.conv2d_transpose")


def is_known(weight: relax.Expr) -> bool:
    """True for a constant, and for the call that stands for a stored weight; see `with_stored_weights`."""
    return isinstance(weight, tvm.ir.GenericConst) or is_decode(weight)


def usable(offers: Sequence[Implementation], weight: relax.Expr) -> list[Implementation]:
    """The ways that can read a weight: codes can be moved, but not be transformed."""
    return [offer for offer in offers if offer.moves_weights or not is_decode(weight)]


def packed(
    weight: relax.Expr, offer: Implementation, turned: Callable[[np.ndarray], np.ndarray] = lambda array: array
) -> list[relax.Expr]:
    """What the kernel reads in the weight's place; of a stored weight the codes are packed, and stay codes.

    Args:
        turned: makes what `offer.pack` takes of the weight as its operator takes it, by moving elements.
    """
    if not is_decode(weight):
        arrays = offer.pack(turned(weight.value.numpy()))
        return [relax.const(array, str(array.dtype)) for array in arrays]

    def movement(array: np.ndarray) -> np.ndarray:
        (moved,) = offer.pack(turned(array))
        return moved

    return [decode(stored_weight(weight).moved(movement))]


def with_stored_weights(value: relax.Expr, stored: Mapping[relax.Var, relax.Expr]) -> relax.Expr:
    """The value of a binding; where it multiplies by a stored weight, with the call of `decode` in the weight's place."""

    def on_variable(variable: tvm.ir.Var, mutator: Any) -> relax.Expr:
        del mutator
        return stored.get(variable, variable)

    is_product = isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) and value.op.name in _PRODUCTS
    if not is_product or value.args[1] not in stored:
        return value
    return structural_mutate(value, ((tvm.ir.Var, on_variable),))
