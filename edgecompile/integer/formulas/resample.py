"""Weighted sums of pixels: linear resizing and average pooling, in int32."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, TypeAlias

from edgecompile.integer.formulas.extents import extents, numbers_of, reduction_axis

if TYPE_CHECKING:
    from tvm import ir, te

    Index: TypeAlias = "int | te.tensor.IterVar"

_WRITTEN_OUT = 16  # terms of a sum; those of more are a loop


def resample(
    x: te.Tensor,
    rows: te.Tensor,
    row_weights: te.Tensor,
    columns: te.Tensor,
    column_weights: te.Tensor,
    zero_point: int,
) -> te.Tensor:
    """int32 `sum of row_weights[h, i] * column_weights[w, j] * (x[n, c, rows[h, i], columns[w, j]] - zero_point)`.

    Linear resizing and average pooling are this, see `resampling`.

    Args:
        x: `[N, C, H, W]` or `[N, C/b, H, W, b]` int8.
        rows, row_weights: `[OH, I]` int32; places lie in the image.
        columns, column_weights: `[OW, J]` int32.
    """
    from tvm import te, tirx

    images, channels, _, _, *block = (int(extent) for extent in x.shape)
    (height, count), (width, column_count) = numbers_of(rows.shape), numbers_of(columns.shape)
    shape = extents(images, channels, height, width, *block)

    def term(n: ir.Expr, c: ir.Expr, h: ir.Expr, w: ir.Expr, lane: tuple[ir.Expr, ...], i: Index, j: Index) -> ir.Expr:
        value = tirx.Cast("int32", x(n, c, rows(h, i), columns(w, j), *lane)) - zero_point
        return value * (row_weights(h, i) * column_weights(w, j))

    if count * column_count <= _WRITTEN_OUT:  # without an accumulator in memory

        def total(n: ir.Expr, c: ir.Expr, h: ir.Expr, w: ir.Expr, *lane: ir.Expr) -> ir.Expr:
            terms = [term(n, c, h, w, lane, i, j) for i in range(count) for j in range(column_count)]
            return functools.reduce(operator.add, terms)

        return te.compute(shape, total, name="resample")
    i, j = reduction_axis(count, "i"), reduction_axis(column_count, "j")
    return te.compute(
        shape,
        lambda n, c, h, w, *lane: te.sum(term(n, c, h, w, lane, i, j), axis=[i, j]),
        name="resample",
    )
