"""The integer operators as formulas of TIR: what they compute where no template takes them.

Every formula is exact in int32, whatever the layout: `channel` finds the channel in an element's indices.
"""

from __future__ import annotations

import functools
import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from edgecompile.integer.intrinsics import round_shift
from edgecompile.integer.requantization import bound, clip_value, scale_value

if TYPE_CHECKING:
    from tvm import ir, te

    Channel: TypeAlias = Callable[[Sequence[ir.Expr]], ir.Expr]
    Index: TypeAlias = "int | te.tensor.IterVar"

T = TypeVar("T")

_WRITTEN_OUT = 16  # terms of a sum; those of more are a loop

NOTE = "edgecompile.integer"
"""An annotation of blocks: which formula they compute, for templates that have faster instructions for all of it.

Its value is JSON: `{"formula": "requantize", "add" or "lookup", ...}` with the numbers that the formula was given.
There is none on what has other types than int32 or int8 -> int8, nor where 32 bits are not enough.
"""


def channel_of_axis(axis: int) -> Channel:
    """The channel of a plain tensor."""
    return lambda indices: indices[axis]


def channel_of_blocks(block: int) -> Channel:
    """The channel of an element of `[N, C/b, H, W, b]`."""
    return lambda indices: indices[1] * block + indices[4]


def convolve(
    x: te.Tensor,
    weight: te.Tensor,
    bias: te.Tensor,
    strides: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    zero_point: int,
) -> te.Tensor:
    """int32 sums of `(x - zero_point) * weight`, and the bias; what pads x counts as zero.

    Args:
        x: `[N, C, H, W]` int8.
        weight: `[K, C / groups, KH, KW]` int8 or int16.
        bias: `[K]` int32.
        padding: top, left, bottom, right.
    """
    from tvm import te, tirx

    images, _, height, width = (int(extent) for extent in x.shape)
    out_channels, group_channels, kernel_height, kernel_width = (int(extent) for extent in weight.shape)
    top, left, bottom, right = padding
    out_height = (height + top + bottom - (kernel_height - 1) * dilation[0] - 1) // strides[0] + 1
    out_width = (width + left + right - (kernel_width - 1) * dilation[1] - 1) // strides[1] + 1
    c, i, j = (
        _reduce(extent, name) for extent, name in ((group_channels, "c"), (kernel_height, "i"), (kernel_width, "j"))
    )

    def term(n: ir.Expr, k: ir.Expr, oh: ir.Expr, ow: ir.Expr) -> ir.Expr:
        ih = oh * strides[0] + i * dilation[0] - top
        iw = ow * strides[1] + j * dilation[1] - left
        channel = tirx.floordiv(k, out_channels // groups) * group_channels + c
        inside = tirx.all(ih >= 0, ih < height, iw >= 0, iw < width)
        value = tirx.Cast("int32", x[n, channel, ih, iw]) - zero_point
        factor = tirx.Cast("int32", weight[k, c, i, j])
        return te.sum(tirx.if_then_else(inside, value, tirx.const(0, "int32")) * factor, axis=[c, i, j])

    sums = te.compute(_extents(images, out_channels, out_height, out_width), term, name="integer_conv2d")
    return te.compute(sums.shape, lambda n, k, h, w: sums[n, k, h, w] + bias[k], name="biased")


def multiply(
    a: te.Tensor,
    b: te.Tensor,
    zero_point: int,
    other_zero_point: int,
    axes: Sequence[int] = (),
    other_axes: Sequence[int] = (),
    notes: Mapping[str, str] | None = None,
) -> te.Tensor:
    """int32 `(a - zero_point) @ (b - other_zero_point)`.

    Args:
        a: `[*batch, M, K]` int8.
        b: `[*batch, K, N]` int8 or int16 of the same batch, or `[K, N]`.
        axes, other_axes: the order in which the dimensions of a and b make these shapes; () leaves them as they are.
        notes: annotations of the block.
    """
    from tvm import te, tirx

    shape, other = ordered(a.shape, axes), ordered(b.shape, other_axes)
    k = _reduce(int(shape[-1]), "k")
    has_batch = len(b.shape) > 2

    def term(*indices: ir.Expr) -> ir.Expr:
        *batch, m, n = indices
        place = [*batch, k, n] if has_batch else [k, n]
        left = tirx.Cast("int32", a(*places_of([*batch, m, k], axes))) - zero_point
        right = tirx.Cast("int32", b(*places_of(place, other_axes))) - other_zero_point
        return te.sum(left * right, axis=[k])

    return te.compute([*shape[:-1], other[-1]], term, name="integer_matmul", attrs=notes)


def ordered(extents: Sequence[T], axes: Sequence[int]) -> list[T]:
    """The extents of a tensor whose dimensions are taken in the order of `axes`; () leaves them as they are."""
    return [extents[axis] for axis in axes] if axes else list(extents)


def places_of(indices: Sequence[T], axes: Sequence[int]) -> list[T]:
    """Where the element at `indices` of the tensor in that order lies in the tensor itself."""
    return [indices[list(axes).index(at)] for at in range(len(axes))] if axes else list(indices)


def requantize(
    x: te.Tensor,
    multiplier: te.Tensor,
    places: te.Tensor,
    channel: Channel,
    input_zero_point: int,
    zero_point: int,
    low: int,
    high: int,
    dtype: str,
    is_short: bool,
) -> te.Tensor:
    """`clip(zero_point + round((x - input_zero_point) * multiplier / 2^shift), low, high)`.

    Args:
        x: int32, or int8 with a zero point, of any shape.
        multiplier, places: int32 and uint8 `[]` or `[channels]`, see `FixedPoint`.
    """
    from tvm import te, tirx

    def factor(table: te.Tensor, indices: Sequence[ir.Expr]) -> ir.Expr:
        return table(channel(indices)) if len(table.shape) else table()

    def value(*indices: ir.Expr) -> ir.Expr:
        wide = tirx.Cast("int32", x(*indices)) - input_zero_point
        scaled = scale_value(wide, factor(multiplier, indices), factor(places, indices), is_short=is_short)
        return clip_value(scaled, zero_point, low, high, dtype)

    numbers = {"zero_point": zero_point, "low": low, "high": high}
    simple = is_short and not input_zero_point and dtype == "int8"
    return te.compute(x.shape, value, name="requantize", attrs=_note("requantize", numbers) if simple else None)


def add(
    a: te.Tensor,
    b: te.Tensor,
    multipliers: tuple[int, int],
    shift: int,
    zero_points: tuple[int, int],
    zero_point: int,
    low: int,
    high: int,
) -> te.Tensor:
    """`clip(zero_point + round(((a - za) * ma + (b - zb) * mb) / 2^shift), low, high)`: one rounding for both.

    Args:
        a, b: int8 that broadcast. Differences of 9 bits times multipliers of 15 stay in int32.
    """
    from tvm import te, tirx

    def term(value: ir.Expr, zero: int, multiplier: int) -> ir.Expr:
        """Of two factors of 16 bits."""
        return _centred(value, zero) * multiplier

    def rounded(total: ir.Expr) -> ir.Expr:
        """Negative halves go down: what is one less than such a half is rounded like all others."""
        away = total + tirx.shift_right(total, tirx.const(31, "int32"))
        return clip_value(round_shift(away, tirx.const(shift - 1, "uint8")), zero_point, low, high, "int8")

    common = _numbers(_common(a, b))

    def value(*indices: ir.Expr) -> ir.Expr:
        terms = [
            term(_broadcast(tensor, indices, common), zero, multiplier)
            for tensor, zero, multiplier in zip((a, b), zero_points, multipliers, strict=True)
        ]
        return bound(terms[0] + terms[1], rounded, "total")

    notes = _note("add", {"shift": shift, "zero_point": zero_point, "low": low, "high": high})
    simple = common in (_numbers(a.shape), _numbers(b.shape)) and all(_is_whole_or_row(t, common) for t in (a, b))
    return te.compute(_common(a, b), value, name="integer_add", attrs=notes if simple else None)


def multiply_elements(
    a: te.Tensor,
    b: te.Tensor,
    multiplier: int,
    shift: int,
    zero_points: tuple[int, int],
    zero_point: int,
    low: int,
    high: int,
) -> te.Tensor:
    """`clip(zero_point + round((a - za) * (b - zb) * multiplier / 2^shift), low, high)`.

    Args:
        a, b: int8 that broadcast. 255 * 255 * (2^15 - 1) is less than 2^31.
        multiplier: zero or odd, so that no product that matters lies between two integers; see `requantization`.
        shift: from 1 to 31.
    """
    from tvm import te, tirx

    common = _numbers(_common(a, b))

    def value(*indices: ir.Expr) -> ir.Expr:
        operands = zip((a, b), zero_points, strict=True)
        first, second = (_centred(_broadcast(tensor, indices, common), zero) for tensor, zero in operands)
        scaled = round_shift(first * second * multiplier, tirx.const(shift - 1, "uint8"))
        return clip_value(scaled, zero_point, low, high, "int8")

    return te.compute(_common(a, b), value, name="integer_multiply")


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
    (height, count), (width, column_count) = _numbers(rows.shape), _numbers(columns.shape)
    shape = _extents(images, channels, height, width, *block)

    def term(n: ir.Expr, c: ir.Expr, h: ir.Expr, w: ir.Expr, lane: tuple[ir.Expr, ...], i: Index, j: Index) -> ir.Expr:
        value = tirx.Cast("int32", x(n, c, rows(h, i), columns(w, j), *lane)) - zero_point
        return value * (row_weights(h, i) * column_weights(w, j))

    if count * column_count <= _WRITTEN_OUT:  # without an accumulator in memory

        def total(n: ir.Expr, c: ir.Expr, h: ir.Expr, w: ir.Expr, *lane: ir.Expr) -> ir.Expr:
            terms = [term(n, c, h, w, lane, i, j) for i in range(count) for j in range(column_count)]
            return functools.reduce(operator.add, terms)

        return te.compute(shape, total, name="resample")
    i, j = _reduce(count, "i"), _reduce(column_count, "j")
    return te.compute(
        shape,
        lambda n, c, h, w, *lane: te.sum(term(n, c, h, w, lane, i, j), axis=[i, j]),
        name="resample",
    )


def lookup(x: te.Tensor, table: te.Tensor) -> te.Tensor:
    """`table[x + 128]` of int8 x; the table has 256 entries of any dtype."""
    from tvm import te, tirx

    notes = _note("lookup", {}) if str(table.dtype) == "int8" else None
    return te.compute(
        x.shape, lambda *indices: table(tirx.Cast("int32", x(*indices)) + 128), name="lookup", attrs=notes
    )


def _centred(value: ir.Expr, zero: int) -> ir.Expr:
    """int32 of int8 without its zero point; code generators see 16 bits."""
    from tvm import tirx

    return tirx.Cast("int32", tirx.Cast("int16", value) - tirx.const(zero, "int16"))


def _common(a: te.Tensor, b: te.Tensor) -> list[ir.Expr]:
    """The shape that both broadcast to."""
    return _extents(*np.broadcast_shapes(_numbers(a.shape), _numbers(b.shape)))


def _is_whole_or_row(tensor: te.Tensor, common: tuple[int, ...]) -> bool:
    """True where a tensor has the common shape, or no more than that of one row."""
    shape = _numbers(tensor.shape)
    return shape == common or (bool(shape) and math.prod(shape) == shape[-1] == common[-1])


def _broadcast(tensor: te.Tensor, indices: Sequence[ir.Expr], common: Sequence[int]) -> ir.Expr:
    """The element of a tensor that belongs to one of the common shape; where it has that shape, the very same place."""
    from tvm import tirx

    shape = _numbers(tensor.shape)
    behind = len(indices) - len(shape)
    places = zip(shape, indices[behind:], common[behind:], strict=True)
    return tensor(*(tirx.const(0, "int64") if extent == 1 != whole else i for extent, i, whole in places))


def _numbers(shape: Sequence[ir.Expr]) -> tuple[int, ...]:
    return tuple(int(extent) for extent in shape)


def _note(formula: str, numbers: Mapping[str, object]) -> dict[str, str]:
    return {NOTE: json.dumps({"formula": formula, **numbers}, sort_keys=True)}


def _reduce(extent: int, name: str) -> te.tensor.IterVar:
    from tvm import te, tirx

    return te.reduce_axis((tirx.IntImm("int64", 0), tirx.IntImm("int64", extent)), name)


def _extents(*numbers: int) -> list[ir.Expr]:
    from tvm import tirx

    return [tirx.IntImm("int64", number) for number in numbers]
