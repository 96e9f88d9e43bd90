"""Scaling of integer sums in fixed point, so that every target gives the same bits.

    requantize(sum) = clip(zero_point + sign(sum) * ((|sum| * multiplier + 2^(shift - 1)) >> shift), low, high)

The quotient is rounded to nearest, halves away from zero. `multiplier / 2^shift` stands for the real scale
`input scale * weight scale / output scale` with a relative error of at most 2^-14: 0.008 of a step at the end of the
range of int8. So short a multiplier needs no products of 64 bits: with LEAST_SHIFT <= shift

    floor(sum * multiplier / 2^16) = (sum >> 16) * multiplier + ((sum & 0xffff) * multiplier >> 16)

holds exactly, and no term leaves 31 bits. Smaller shifts (scales of a quarter and more) use products of 64 bits.

Multipliers are odd. Then a product that lies between two integers exactly is an odd multiple of 2^(shift - 1) with all
of these factors two in the sum: |sum| >= 2^(shift - 1), and the quotient is at least multiplier / 2 > 2^13, which is
beyond int8. So code may round halves up, whatever the sign, and give the same bits behind the clip.

Or to even, as float arithmetic does: a sum below NARROW_LIMIT and the scale are float32 numbers, and one fused
multiplication and addition of 1.5 * 2^23, where neighbouring floats are one apart, rounds the exact product once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.integer.intrinsics import lower_narrow, multiply_high, narrow, round_shift

if TYPE_CHECKING:
    from tvm import ir

MULTIPLIER_BITS = 15
SCALE_LIMIT = 2.0**14  # real scales must stay below it
LEAST_SHIFT = 17  # of the form without 64-bit products
NARROW_LIMIT = 2**23  # of sums that float32 tells apart; times a short scale, below 1/4, they stay below 2^21
_MOST_SHIFT = 46  # beyond it every int32 becomes zero: 2^31 * 2^15 / 2^47 is a half


@dataclass(frozen=True)
class FixedPoint:
    """Real factors as integers.

    Attributes:
        multiplier: int32 `[]` or `[channels]`, zero or odd, from 2^14 + 1 to 2^15 - 1.
        shift: int32 of the same shape, from 1 to 46.
    """

    multiplier: np.ndarray
    shift: np.ndarray

    @staticmethod
    def of(scale: np.ndarray | float) -> FixedPoint:
        """The nearest odd multipliers to positive real scales, float64 `[]` or `[channels]`, below 2^14.

        A scale that makes zero of every int32 has the multiplier zero.
        """
        real = np.asarray(scale, np.float64)
        assert np.all(np.isfinite(real)) and np.all(real >= 0) and np.all(real < SCALE_LIMIT)
        fraction, exponent = np.frexp(real)  # real = fraction * 2^exponent, fraction in [1/2, 1)
        # From (2k, 2k + 2) to 2k + 1; the power of two at the lower end goes up.
        multiplier = (np.floor(fraction * 2 ** (MULTIPLIER_BITS - 1)) * 2 + 1).astype(np.int64)
        shift = MULTIPLIER_BITS - exponent.astype(np.int64)
        vanishing = (shift > _MOST_SHIFT) | (real == 0)
        multiplier = np.where(vanishing, 0, multiplier).astype(np.int32)
        return FixedPoint(multiplier, np.where(vanishing, LEAST_SHIFT, shift).astype(np.int32))

    @property
    def is_short(self) -> bool:
        """True where products of 32 bits are enough."""
        return bool(np.all(self.shift >= LEAST_SHIFT))

    @property
    def places(self) -> np.ndarray:
        """uint8: how far a product is shifted before half of the last place is added.

        A narrow unsigned type, because TVM 0.27 takes a number shifted right by one it knows nothing of for zero, and
        drops the bounds around it.
        """
        return (self.shift - (LEAST_SHIFT if self.is_short else 1)).astype(np.uint8)

    @staticmethod
    def shift_of(places: np.ndarray, *, is_short: bool) -> np.ndarray:
        """The inverse."""
        return places.astype(np.int32) + (LEAST_SHIFT if is_short else 1)

    @property
    def real(self) -> np.ndarray:
        """What the integers stand for, as float64."""
        return np.asarray(self.multiplier / 2.0**self.shift)


def scale_array(values: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """`values * multiplier / 2^shift` rounded, halves away from zero: the definition, in 64 bits.

    Args:
        values: int32 or int64 of any shape; the other two broadcast against it.

    Returns:
        int64.
    """
    size = np.abs(values.astype(np.int64)) * multiplier.astype(np.int64)
    wide = shift.astype(np.int64)
    rounded = (size + (np.int64(1) << (wide - 1))) >> wide
    return np.asarray(np.where(values < 0, -rounded, rounded))


def scale_value(value: ir.Expr, multiplier: ir.Expr, places: ir.Expr, *, is_short: bool) -> ir.Expr:
    """The same as TIR, of int32 expressions, where the result is then clipped to int8; see `FixedPoint.places`.

    Half is added behind the shift, to the next place. The result is int32; without `is_short` one beyond it is cut to
    its ends.
    """
    from tvm import tirx

    if is_short:
        return round_shift(multiply_high(value, multiplier), places)
    product = tirx.Cast("int64", value) * tirx.Cast("int64", multiplier)
    wide = tirx.shift_right(tirx.shift_right(product, tirx.Cast("int64", places)) + 1, 1)
    limit = 2**31 - 1
    bounded = tirx.max(tirx.min(wide, tirx.const(limit, "int64")), tirx.const(-limit, "int64"))
    return tirx.Cast("int32", bounded)


def clip_value(value: ir.Expr, zero_point: int, low: int, high: int, dtype: str) -> ir.Expr:
    """`clip(value + zero_point, low, high)` of an int32 expression, cast to `dtype`."""
    if dtype == "int8":
        return narrow(value, zero_point, low, high)
    return lower_narrow(value, zero_point, low, high, dtype)


def bound(value: ir.Expr, body: Callable[[ir.Expr], ir.Expr], name: str) -> ir.Expr:
    """`body` of a variable that holds `value`: fusion copies what is written down twice, stage upon stage."""
    from tvm import ir as tvm_ir
    from tvm import tirx

    variable = tirx.Var(name, tvm_ir.PrimType(str(value.ty.dtype)))
    return tirx.Let(variable, value, body(variable))
