"""Softmax of bytes in integer arithmetic alone: the same bits on every target.

With d = max(x) - x, from 0 to 255 steps of size s, exp(-s * d) is a power of two:

    t = d * exponent                                   s * d / ln 2 with `bits` binary places
    power = 2^15 * 2^-fraction(t) >> integer(t)        the fraction by a polynomial of degree three, within 2^-13
    y = zero_point + (power * factor + half) >> shift,     factor = numerator / sum of powers, once for each row

As power / sum is one at most and y has at most 255 steps, the rounding of `factor` changes y by 2^-7 of a step.

Source: S. Kim et al., "I-BERT: Integer-only BERT Quantization", ICML 2021, section 3.4.2; coefficients are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.integer.requantization import bound, clip_value

if TYPE_CHECKING:
    from tvm import ir, te

_POWER_BITS = 15
_ONE = 1 << _POWER_BITS
# 2^-f is about 1 - f * (A - f * (B - f * C)), and a half at f = 1, with an error of 7e-5; in steps of 2^-15.
_A, _B, _C = 22665, 7579, 1298
_MOST_BITS = 20
_EXPONENT_BITS = 23  # 255 times as much stays in 31 bits
_MOST_SHIFT = 31
MOST_COLUMNS = 1 << 15  # the sum of their powers stays below 2^31


@dataclass(frozen=True)
class SoftmaxNumbers:
    """The constants of one softmax; see the head of this file."""

    exponent: int
    bits: int
    numerator: int
    shift: int
    zero_point: int

    @staticmethod
    def of(scale: float, out_scale: float, zero_point: int, columns: int) -> SoftmaxNumbers | None:
        """For x in steps of `scale`, and results in steps of `out_scale`; None where they leave 32 bits."""
        powers = scale / math.log(2)
        bits = min(_MOST_BITS, math.floor(_EXPONENT_BITS - math.log2(powers)))
        shift = min(30, math.floor(30 + math.log2(out_scale)))
        if bits < 0 or shift < 1 or columns > MOST_COLUMNS:
            return None
        return SoftmaxNumbers(round(powers * 2**bits), bits, round(2**shift / out_scale), shift, zero_point)


def softmax(x: te.Tensor, exponent: int, bits: int, numerator: int, shift: int, zero_point: int) -> te.Tensor:
    """The formula of the head of this file, over the last axis of int8 x."""
    from tvm import te, tirx

    *rows, columns = x.shape
    k = te.reduce_axis((tirx.IntImm("int64", 0), columns), "k")

    def wide(*i: ir.Expr) -> ir.Expr:
        return tirx.Cast("int32", x(*i))

    largest = te.compute(rows, lambda *r: te.max(wide(*r, k), axis=[k]), name="largest")
    power = te.compute(x.shape, lambda *i: _power_value(largest(*i[:-1]) - wide(*i), exponent, bits), name="power")
    total = te.compute(rows, lambda *r: te.sum(power(*r, k), axis=[k]), name="total")
    factor = te.compute(
        rows,
        lambda *r: tirx.floordiv(tirx.const(numerator, "int32") + tirx.shift_right(total(*r), _number(1)), total(*r)),
        name="factor",
    )

    def result(*i: tirx.Var) -> ir.Expr:
        scaled = tirx.shift_right(power(*i) * factor(*i[:-1]) + _number(1 << shift >> 1), _number(shift))
        return clip_value(scaled, zero_point, -128, 127, "int8")

    return te.compute(x.shape, result, name="integer_softmax")


def softmax_array(x: np.ndarray, exponent: int, bits: int, numerator: int, shift: int, zero_point: int) -> np.ndarray:
    """The same in NumPy."""
    wide = x.astype(np.int64)
    steps = (wide.max(axis=-1, keepdims=True) - wide) * exponent
    f = steps & ((1 << bits) - 1)
    f = f >> (bits - _POWER_BITS) if bits >= _POWER_BITS else f << (_POWER_BITS - bits)
    polynomial = _ONE - (f * (_A - (f * (_B - (f * _C >> _POWER_BITS)) >> _POWER_BITS)) >> _POWER_BITS)
    power = polynomial >> np.minimum(steps >> bits, _MOST_SHIFT)
    total = power.sum(axis=-1, keepdims=True)
    factor = (numerator + (total >> 1)) // total
    assert total.max(initial=0) < 2**31 and (power * factor).max(initial=0) + (1 << shift >> 1) < 2**31
    return np.clip((power * factor + (1 << shift >> 1) >> shift) + zero_point, -128, 127).astype(np.int8)


def _power_value(steps: ir.Expr, exponent: int, bits: int) -> ir.Expr:
    """2^15 times two to the power of minus so many steps, int32."""
    from tvm import tirx

    def high(value: ir.Expr) -> ir.Expr:
        return tirx.shift_right(value, _number(_POWER_BITS))

    def of_fraction(f: ir.Expr) -> ir.Expr:
        return _number(_ONE) - high(f * (_number(_A) - high(f * (_number(_B) - high(f * _number(_C))))))

    def of_exponent(t: ir.Expr) -> ir.Expr:
        fraction = tirx.bitwise_and(t, _number((1 << bits) - 1))
        moved = (
            tirx.shift_right(fraction, _number(bits - _POWER_BITS))
            if bits >= _POWER_BITS
            else tirx.shift_left(fraction, _number(_POWER_BITS - bits))
        )
        # Of a narrow unsigned type, because TVM 0.27 takes a number shifted right by one it knows nothing of for zero.
        places = tirx.Cast("uint8", tirx.min(tirx.shift_right(t, _number(bits)), _number(_MOST_SHIFT)))
        return tirx.shift_right(bound(moved, of_fraction, "fraction"), tirx.Cast("int32", places))

    return bound(steps * _number(exponent), of_exponent, "exponent")


def _number(value: int) -> ir.Expr:
    from tvm import tirx

    return tirx.const(value, "int32")
