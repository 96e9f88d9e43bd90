"""The operators that the generator knows, by family."""

from __future__ import annotations

from tests.fuzz.operators import (
    binary,
    index,
    layout,
    linear,
    normalize,
    quantize,
    recurrent,
    reduce,
    special,
    unary,
    window,
)
from tests.fuzz.operators.operator import Operator

__all__ = ["ALL", "Operator"]

ALL: tuple[Operator, ...] = tuple(
    operator
    for family in (unary, binary, linear, window, normalize, reduce, layout, index, quantize, recurrent, special)
    for operator in family.OPERATORS
)
