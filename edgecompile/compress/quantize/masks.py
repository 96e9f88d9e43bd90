"""Softmax whose input holds a mask: a number so low that int8 has no steps left for the scores beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer.movements import MOVEMENTS

if TYPE_CHECKING:
    from edgecompile.compress.quantize.insert import TensorRange

Definitions: TypeAlias = Mapping[relax.Var, relax.Expr]

_LOWEST_SCORE = -1000.0
"""Where scores reach this, a step of int8 is four and more, and neighbouring levels differ by a factor of e^4."""


def masked_softmax(main: relax.Function, ranges: Mapping[str, TensorRange], names: Collection[str]) -> dict[str, str]:
    """Those of the softmax `names` that integers cannot compute because of a mask, and why.

    A mask is found in the calibrated range of what the softmax reads, and in a sum that it reads: one with a constant
    of -inf, or below -1000, whether or not it took part for some sample.
    """
    definitions = {binding.var: binding.value for binding in main.body.blocks[0].bindings}
    found: dict[str, str] = {}
    for variable in definitions:
        operator, arguments = _call(variable, definitions)
        if variable.name not in names or operator != "nn.softmax":
            continue
        read = _unmoved(arguments[0], definitions)
        low = ranges[read.name].low if isinstance(read, relax.Var) and read.name in ranges else 0.0
        made_by, terms = _call(read, definitions)
        if low < _LOWEST_SCORE:
            found[variable.name] = (
                f"it reads scores down to {low:.4g}, a mask, which leaves int8 no steps for the others"
            )
        elif made_by in ("add", "subtract") and _lowest_of(terms, definitions) < _LOWEST_SCORE:
            found[variable.name] = "it reads a sum with a mask below every range of int8"
    return found


def _lowest_of(values: Sequence[relax.Expr], definitions: Definitions) -> float:
    """The lowest constant that tensors are chosen from, or made by products with; 0 where there is none."""
    lowest = 0.0
    for value in values:
        origin = _unmoved(value, definitions)
        operator, arguments = _call(origin, definitions)
        if isinstance(origin, tvm.ir.GenericConst) and str(origin.ty.dtype).startswith("float"):
            lowest = min(lowest, float(np.nanmin(origin.value.numpy(), initial=0)))
        elif operator in ("where", "multiply", "astype"):
            lowest = min(lowest, _lowest_of(arguments, definitions))
    return lowest


def _unmoved(value: relax.Expr, definitions: Definitions) -> relax.Expr:
    """What a tensor was before movements."""
    operator, arguments = _call(value, definitions)
    return _unmoved(arguments[0], definitions) if operator in MOVEMENTS else value


def _call(value: relax.Expr, definitions: Definitions) -> tuple[str, Sequence[relax.Expr]]:
    """The operator that makes a tensor, and what it reads; "" where none does."""
    found = definitions.get(value) if isinstance(value, relax.Var) else None
    if not isinstance(found, relax.Call) or not isinstance(found.op, tvm.ir.Op):
        return "", ()
    return str(found.op.name).removeprefix("relax."), list(found.args)
