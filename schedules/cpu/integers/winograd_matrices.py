"""Winograd's transforms in whole numbers, so that the sums of a convolution of bytes come out exactly.

    scale^2 * y = A^T [ (W g W^T) * (B^T d B) ] A        W = diag(s) G,  A^T scaled by scale / s

Each row of G is multiplied by what makes it whole; what that adds to a result is divided out of it at the end. All
sums of 32 bits may wrap around: they are right modulo 2^32, and so is their product with the inverse of the odd part
of scale^2, which leaves y times a power of two, 2^shift. So y is exact wherever |y| < 2^(31 - shift), whatever the
terms on the way. F(2,3) has scale^2 = 4 = 2^2, and F(4,3) with the points 0, 1, -1, 2, -2 has 576 = 9 * 2^6.

B^T d B and W g W^T fit in 16 bits for all bytes d and g: at most 4 and 100, and 9 and 144 times as large.

Sources: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, for the transforms; L. Meng
and J. Brothers, "Efficient Winograd Convolution via Integer Arithmetic", 2019, for scaled integer ones. Unlike G. Li et
al., "LANCE", 2020, and "LoWino", 2021, nothing is rounded in the transformed domain.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from schedules.cpu.winograd.matrices import cook_toom

WHOLE_POINTS: dict[int, tuple[int, ...]] = {2: (0, 1, -1), 4: (0, 1, -1, 2, -2)}
LARGEST_BYTE = 128
_LARGEST_WORD = 2**15 - 1


@dataclass(frozen=True)
class IntegerTransforms:
    """The matrices for `outputs` results of one dimension, in int64.

    Attributes:
        input: B^T, `[n, n]`.
        weight: W, `[n, 3]`.
        output: A^T scaled, `[outputs, n]`.
        inverse: of the odd part of scale^2, modulo 2^32.
        shift: the places of its other part.
    """

    input: np.ndarray
    weight: np.ndarray
    output: np.ndarray
    inverse: int
    shift: int

    @property
    def limit(self) -> int:
        """Results must be smaller in magnitude."""
        return 2 ** (31 - self.shift)


@functools.cache
def integer_transforms(outputs: int) -> IntegerTransforms:
    """The matrices for a number of outputs that `WHOLE_POINTS` has."""
    b, g, a = cook_toom([Fraction(point) for point in WHOLE_POINTS[outputs]])
    scale = math.lcm(*(entry.denominator for row in g for entry in row))
    most = max(sum(abs(entry) for entry in row) for row in g[:-1]) * scale
    # The point at infinity has no fractions, so its row may be scaled by less: by what keeps its products in 16 bits.
    parts = [part for part in range(1, scale + 1) if scale % part == 0]
    last = max(part for part in parts if part * max(part, most) * LARGEST_BYTE <= _LARGEST_WORD)
    scales = [*[scale] * (len(g) - 1), last]
    shift = (scale**2 & -(scale**2)).bit_length() - 1
    found = IntegerTransforms(
        _whole(b),
        _whole([[entry * factor for entry in row] for row, factor in zip(g, scales, strict=True)]),
        _whole([[entry * scale / factor for entry, factor in zip(row, scales, strict=True)] for row in a]),
        pow(scale**2 >> shift, -1, 2**32),
        shift,
    )
    assert max(_growth(found.input), _growth(found.weight)) * LARGEST_BYTE <= _LARGEST_WORD
    return found


def is_exact(outputs: int, weight_sum: int) -> bool:
    """True where no bytes of x make a result too large; `weight_sum` is the largest sum of |w| over a channel's taps.

    Pixels beyond x count as its zero point, a byte too: the kernels pad with it, and take what it adds off again.
    """
    return weight_sum * LARGEST_BYTE < integer_transforms(outputs).limit


def transform_integer_weight(weight: np.ndarray, outputs: int) -> np.ndarray:
    """W g W^T: `[K, C, 3, 3]` int8 -> `[K, C, n, n]` int16."""
    matrix = integer_transforms(outputs).weight
    found = np.einsum("ri,kcij,sj->kcrs", matrix, weight.astype(np.int64), matrix, optimize=True)
    assert np.abs(found).max(initial=0) <= _LARGEST_WORD
    return found.astype(np.int16)


def _growth(matrix: np.ndarray) -> int:
    """How many times as large both sides of a square can make its entries."""
    return int(np.abs(matrix).sum(axis=1).max()) ** 2


def _whole(rows: list[list[Fraction]]) -> np.ndarray:
    assert all(entry.denominator == 1 for row in rows for entry in row)
    return np.array([[int(entry) for entry in row] for row in rows], np.int64)
