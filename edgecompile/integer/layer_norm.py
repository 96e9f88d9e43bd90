"""Layer normalization of bytes in integer arithmetic alone: the same bits on every target.

Of K columns x, with sums S of x and Q of x^2,

    u = 2^7 * x - round(2^7 * S / K)                            centred, in 16 bits
    V = K * Q - S^2 + epsilon                                   K^2 times the variance, in 64 bits and exact
    factor = K * 2^(31 - h) / floor(sqrt(2^16 * V))             once for each row
    t = round(u * factor / 2^14)                                the normalized value in steps of 2^-(16 - h)
    y = floor((t * gamma + beta) / 2^shift)                     beta holds the half that rounds, and the zero point

No normalized value exceeds sqrt(K - 1) <= 2^h, so t stays in 17 bits.

Source: S. Kim et al., "I-BERT: Integer-only BERT Quantization", ICML 2021, section 3.5. Its iterations of the root
take a division each; here float64 guesses it, rounded correctly on every target by IEEE 754, and the guess is put
right: the integer below the root is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.integer.requantization import clip_value

if TYPE_CHECKING:
    from tvm import ir, te

_CENTRED_BITS = 7
_FACTOR_BITS = 14
_NORMAL_BITS = 16
_ROOT_BITS = 16  # by which V is moved before its root is taken
_LEAST_ROOT = 1 << _ROOT_BITS // 2  # of V = 1
_MOST_EPSILON = 1 << 45
_MOST_SHIFT = 20
_MOST_BETA = 3 << 28  # beside t * gamma, 2^30 at most, in 31 bits
MOST_COLUMNS = 1 << 15


@dataclass(frozen=True)
class LayerNormNumbers:
    """The constants of one normalization; see the head of this file.

    Attributes:
        gamma, beta: int32 `[columns]`.
    """

    gamma: np.ndarray
    beta: np.ndarray
    epsilon: int
    shift: int

    @staticmethod
    def of(
        scale: float, gamma: np.ndarray, beta: np.ndarray, epsilon: float, out_scale: float, zero_point: int
    ) -> LayerNormNumbers | None:
        """For x in steps of `scale`, and results in steps of `out_scale`; None where they leave 32 bits.

        Args:
            gamma, beta: real numbers, `[columns]`.
        """
        columns = gamma.size
        factors, constants = gamma.astype(np.float64) / out_scale, beta.astype(np.float64) / out_scale + zero_point
        largest = float(np.abs(factors).max(initial=0))
        if not 2 <= columns <= MOST_COLUMNS or not math.isfinite(largest) or not np.all(np.isfinite(constants)):
            return None
        room = _NORMAL_BITS - _growth(columns)
        bits = min(math.floor(14 - math.log2(largest)) if largest else _MOST_SHIFT, _MOST_SHIFT - room)
        shift = room + bits
        added = np.rint(constants * 2.0**shift) + 2.0 ** (shift - 1)
        least = columns**2 * epsilon / scale**2
        if shift < 1 or np.abs(added).max() > _MOST_BETA or not 0 <= least <= _MOST_EPSILON:
            return None
        return LayerNormNumbers(
            np.rint(factors * 2.0**bits).astype(np.int32), added.astype(np.int32), round(least), shift
        )


def _growth(columns: int) -> int:
    """h: binary places in front of the point that a normalized value may need."""
    return math.ceil(math.log2(columns) / 2)


def layer_norm(x: te.Tensor, gamma: te.Tensor, beta: te.Tensor, epsilon: int, shift: int) -> te.Tensor:
    """The formula of the head of this file, over the last axis of int8 x."""
    from tvm import te, tirx

    *rows, _ = x.shape
    columns = int(x.shape[-1])
    k = te.reduce_axis((tirx.IntImm("int64", 0), x.shape[-1]), "k")

    def wide(*i: ir.Expr) -> ir.Expr:
        return tirx.Cast("int32", x(*i))

    def long(value: ir.Expr) -> ir.Expr:
        return tirx.Cast("int64", value)

    total = te.compute(rows, lambda *r: te.sum(wide(*r, k), axis=[k]), name="total")
    squares = te.compute(rows, lambda *r: te.sum(wide(*r, k) * wide(*r, k), axis=[k]), name="squares")

    def average(*r: tirx.Var) -> ir.Expr:
        return tirx.floordiv(total(*r) * (1 << _CENTRED_BITS) + columns // 2, tirx.const(columns, "int32"))

    def number_of(*r: tirx.Var) -> ir.Expr:
        variance = long(squares(*r)) * columns - long(total(*r)) * long(total(*r)) + tirx.const(epsilon, "int64")
        return variance * (1 << _ROOT_BITS)

    def root_of(*r: tirx.Var) -> ir.Expr:
        """One less where rounding went up."""
        return guess(*r) - long(guess(*r) * guess(*r) > number(*r))

    def factor_of(*r: tirx.Var) -> ir.Expr:
        divisor = tirx.max(root(*r), tirx.const(_LEAST_ROOT, "int64"))
        return tirx.Cast("int32", tirx.floordiv(tirx.const(_numerator(columns), "int64"), divisor))

    def result(*i: tirx.Var) -> ir.Expr:
        centred = wide(*i) * (1 << _CENTRED_BITS) - mean(*i[:-1])
        half = tirx.const(1 << _FACTOR_BITS - 1, "int32")
        normal = tirx.shift_right(centred * factor(*i[:-1]) + half, tirx.const(_FACTOR_BITS, "int32"))
        scaled = tirx.shift_right(normal * gamma(i[-1]) + beta(i[-1]), tirx.const(shift, "int32"))
        return clip_value(scaled, 0, -128, 127, "int8")

    mean = te.compute(rows, average, name="mean")
    number = te.compute(rows, number_of, name="number")
    guess = te.compute(rows, lambda *r: long(tirx.sqrt(tirx.Cast("float64", number(*r)))), name="guess")
    root = te.compute(rows, root_of, name="deviation")  # no block but the outermost may be called root
    factor = te.compute(rows, factor_of, name="factor")
    return te.compute(x.shape, result, name="integer_layer_norm")


def layer_norm_array(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: int, shift: int) -> np.ndarray:
    """The same in NumPy."""
    columns = x.shape[-1]
    wide = x.astype(np.int64)
    total, squares = (values.sum(axis=-1, keepdims=True) for values in (wide, wide * wide))
    mean = ((total << _CENTRED_BITS) + columns // 2) // columns
    variance = squares * columns - total * total + epsilon
    roots = [math.isqrt(int(value) << _ROOT_BITS) for value in variance.ravel()]
    root = np.maximum(np.array(roots, np.int64).reshape(variance.shape), _LEAST_ROOT)
    factor = _numerator(columns) // root
    products = ((wide << _CENTRED_BITS) - mean) * factor
    normal = products + (1 << _FACTOR_BITS - 1) >> _FACTOR_BITS
    scaled = normal * gamma.astype(np.int64) + beta.astype(np.int64)
    assert factor.max(initial=0) < 2**31 and max(np.abs(products).max(initial=0), np.abs(scaled).max(initial=0)) < 2**31
    return np.clip(scaled >> shift, -128, 127).astype(np.int8)


def _numerator(columns: int) -> int:
    """Of `factor`: columns * 2^(16 - h) / 2^7 * 2^8 * 2^14."""
    exponent = _NORMAL_BITS - _growth(columns) - _CENTRED_BITS + _ROOT_BITS // 2 + _FACTOR_BITS
    return columns << exponent
