"""int8 with scales found at run time: one for each row of a tensor, or one for all of it.

    largest = max |x|                              over what shares a scale
    scale   = largest / 127
    q       = round(x * (127 / largest))           to nearest, halves to even: from -127 to 127

Every step is one correctly rounded float32 operation, so all targets answer the same bits. `x` stands for `q * scale`.

- Where all x are zero, or smaller than 2^-100, q is zero: 127 / largest might be infinite.
- Where an x is infinite or no number, so is the scale, and q is zero: their product, and with it every sum of products
  of this row, is no number. Other rows are as they were.

The largest magnitude is found among bit patterns: as int32 those of positive floats are ordered as their numbers are,
with infinity and then NaN above them all, on every target and in any order of comparisons.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tvm import ir, te

HIGHEST = 127
_MAGNITUDE = 0x7FFFFFFF  # all bits but the sign
_INFINITY = 0x7F800000  # as bits
_LEAST = (127 - 100) << 23  # 2^-100 as bits


def quantize_rows(x: te.Tensor, shared_axes: int) -> list[te.Tensor]:
    """The formula of the head of this file.

    Args:
        x: float32 of any shape.
        shared_axes: so many of the last axes share a scale; from 1 to all.

    Returns:
        q, int8 of the same shape; and the scales, float32 `[*rows, 1, ...]`, as many ones as there are shared axes.
    """
    from tvm import te, tirx

    rows = len(x.shape) - shared_axes
    columns = [te.reduce_axis((tirx.IntImm("int64", 0), extent), "k") for extent in x.shape[rows:]]
    shape = [*x.shape[:rows], *[tirx.IntImm("int64", 1)] * shared_axes]

    def of_row(i: tuple[tirx.Var, ...]) -> list[ir.Expr]:
        return [*i[:rows], *[tirx.IntImm("int64", 0)] * shared_axes]

    def magnitude(*i: tirx.Var) -> ir.Expr:
        return te.max(tirx.reinterpret("int32", x(*i[:rows], *columns)) & _MAGNITUDE, axis=columns)

    largest = te.compute(shape, magnitude, name="largest")
    real = te.compute(shape, lambda *i: tirx.reinterpret("float32", largest(*i)), name="largest_float")
    scale = te.compute(shape, lambda *i: real(*i) / tirx.const(HIGHEST, "float32"), name="scale")

    def is_usable(*i: tirx.Var) -> ir.Expr:
        return tirx.all(largest(*i) >= _LEAST, largest(*i) < _INFINITY)

    def factor(*i: tirx.Var) -> ir.Expr:
        return tirx.Select(is_usable(*i), tirx.const(HIGHEST, "float32") / real(*i), tirx.const(0, "float32"))

    factors = te.compute(shape, factor, name="factor")
    kept = te.compute(
        shape, lambda *i: tirx.Select(is_usable(*i), tirx.const(-1, "int32"), tirx.const(0, "int32")), name="kept"
    )

    def level(*i: tirx.Var) -> ir.Expr:
        # The bits of x are cleared in an unusable row: NaN has no integer.
        number = tirx.reinterpret("float32", tirx.reinterpret("int32", x(*i)) & kept(*of_row(i)))
        return tirx.Cast("int8", tirx.round(number * factors(*of_row(i))))

    return [te.compute(x.shape, level, name="quantized"), scale]


def quantize_rows_array(x: np.ndarray, shared_axes: int) -> tuple[np.ndarray, np.ndarray]:
    """The same in NumPy."""
    axes = tuple(range(x.ndim - shared_axes, x.ndim))
    largest = np.abs(x).max(axis=axes, keepdims=True)
    usable = np.isfinite(largest) & (largest >= np.float32(math.ldexp(1, -100)))
    factor = np.float32(HIGHEST) / np.where(usable, largest, np.float32(1))
    levels = np.rint(np.where(usable, x, np.float32(0)) * factor)
    return levels.astype(np.int8), largest / np.float32(HIGHEST)
