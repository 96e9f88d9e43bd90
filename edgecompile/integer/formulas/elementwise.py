"""Formulas of one element of each tensor, from int32 or int8 to int8."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgecompile.integer.formulas.extents import extents, numbers_of
from edgecompile.integer.intrinsics import round_shift
from edgecompile.integer.requantization import bound, clip_value, scale_value

if TYPE_CHECKING:
    from tvm import ir, te

    Channel: TypeAlias = Callable[[Sequence[ir.Expr]], ir.Expr]

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
    is_narrow: bool = False,
) -> te.Tensor:
    """`clip(zero_point + round((x - input_zero_point) * multiplier / 2^shift), low, high)`.

    Args:
        x: int32, or int8 with a zero point, of any shape.
        multiplier, places: int32 and uint8 `[]` or `[channels]`, see `FixedPoint`.
        is_narrow: every x is known to lie between -2^23 and 2^23; see `requantization`.
    """
    from tvm import te, tirx

    def factor(table: te.Tensor, indices: Sequence[ir.Expr]) -> ir.Expr:
        return table(channel(indices)) if len(table.shape) else table()

    def value(*indices: ir.Expr) -> ir.Expr:
        wide = tirx.Cast("int32", x(*indices)) - input_zero_point
        scaled = scale_value(wide, factor(multiplier, indices), factor(places, indices), is_short=is_short)
        return clip_value(scaled, zero_point, low, high, dtype)

    numbers = {"zero_point": zero_point, "low": low, "high": high, "is_narrow": is_narrow}
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

    common = numbers_of(_common(a, b))

    def value(*indices: ir.Expr) -> ir.Expr:
        terms = [
            term(_broadcast(tensor, indices, common), zero, multiplier)
            for tensor, zero, multiplier in zip((a, b), zero_points, multipliers, strict=True)
        ]
        return bound(terms[0] + terms[1], rounded, "total")

    notes = _note("add", {"shift": shift, "zero_point": zero_point, "low": low, "high": high})
    is_whole = common in (numbers_of(a.shape), numbers_of(b.shape))
    simple = is_whole and all(_is_whole_or_row(tensor, common) for tensor in (a, b))
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

    common = numbers_of(_common(a, b))

    def value(*indices: ir.Expr) -> ir.Expr:
        operands = zip((a, b), zero_points, strict=True)
        first, second = (_centred(_broadcast(tensor, indices, common), zero) for tensor, zero in operands)
        scaled = round_shift(first * second * multiplier, tirx.const(shift - 1, "uint8"))
        return clip_value(scaled, zero_point, low, high, "int8")

    return te.compute(_common(a, b), value, name="integer_multiply")


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
    return extents(*np.broadcast_shapes(numbers_of(a.shape), numbers_of(b.shape)))


def _is_whole_or_row(tensor: te.Tensor, common: tuple[int, ...]) -> bool:
    """True where a tensor has the common shape, or no more than that of one row."""
    shape = numbers_of(tensor.shape)
    return shape == common or (bool(shape) and math.prod(shape) == shape[-1] == common[-1])


def _broadcast(tensor: te.Tensor, indices: Sequence[ir.Expr], common: Sequence[int]) -> ir.Expr:
    """The element of a tensor that belongs to one of the common shape; where it has that shape, the very same place."""
    from tvm import tirx

    shape = numbers_of(tensor.shape)
    behind = len(indices) - len(shape)
    places = zip(shape, indices[behind:], common[behind:], strict=True)
    return tensor(*(tirx.const(0, "int64") if extent == 1 != whole else i for extent, i, whole in places))


def _note(formula: str, numbers: Mapping[str, object]) -> dict[str, str]:
    return {NOTE: json.dumps({"formula": formula, **numbers}, sort_keys=True)}
