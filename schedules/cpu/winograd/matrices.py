"""The transforms of Winograd convolution, made exactly from their points.

    y = A^T [ (G g) * (B^T d) ]      m outputs of a filter g of three taps, from n = m + 2 inputs d, by n products

Source: the Cook-Toom construction as in A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks",
2016. The error grows with the spread of the points' powers (`winograd.error`). Those for four outputs were chosen among
pairs of fractions by the measured error of float32 against float64: less than half of what 0, 1, -1, 2, -2 give. Those
for six have the least growth among 7,129 sets of three pairs of fractions from 1/4 to 4 with denominators up to 8.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

TAPS = 3
POINTS: dict[int, tuple[Fraction, ...]] = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(3, 5), Fraction(-3, 5), Fraction(3, 2), Fraction(-3, 2)),
    6: (
        *(Fraction(0), Fraction(1, 2), Fraction(-1, 2)),
        *(Fraction(1), Fraction(-1), Fraction(2), Fraction(-2)),
    ),
}


@dataclass(frozen=True)
class Transforms:
    """The matrices for `outputs` results of one dimension, in float64.

    Attributes:
        input: B^T, `[n, n]`; whole numbers, so that float32 holds them exactly.
        weight: G, `[n, 3]`.
        output: A^T, `[m, n]`.
    """

    input: np.ndarray
    weight: np.ndarray
    output: np.ndarray


@functools.cache
def transforms(outputs: int) -> Transforms:
    """The matrices for a number of outputs that `POINTS` has."""
    return Transforms(*(_array(rows) for rows in cook_toom(POINTS[outputs])))


def cook_toom(points: Sequence[Fraction]) -> tuple[list[list[Fraction]], list[list[Fraction]], list[list[Fraction]]]:
    """B^T, whose entries are whole numbers, G and A^T of the transform with these points and infinity."""
    outputs = len(points) + 1 - (TAPS - 1)
    rows_in, rows_weight = [], []
    for point in points:
        others = [other for other in points if other != point]
        scale = math.prod((point - other for other in others), start=Fraction(1))
        rows_in.append([*_product(others), Fraction(0)])
        rows_weight.append([point**power / scale for power in range(TAPS)])
    rows_in.append(_product(points))
    rows_weight.append([Fraction(0)] * (TAPS - 1) + [Fraction(1)])
    for at, row in enumerate(rows_in):
        whole = math.lcm(*(entry.denominator for entry in row))
        rows_in[at] = [entry * whole for entry in row]
        rows_weight[at] = [entry / whole for entry in rows_weight[at]]
    output = [[point**power for point in points] + [Fraction(int(power == outputs - 1))] for power in range(outputs)]
    return rows_in, rows_weight, output


def weight_growth(outputs: int) -> float:
    """The size of a transformed weight, as a multiple of the weight's own."""
    return ((outputs + TAPS - 1) / TAPS) ** 2


def transform_weight(weight: np.ndarray, outputs: int) -> np.ndarray:
    """`[K, C, 3, 3]` -> `[n, n, K, C]` float32, computed in float64."""
    matrix = transforms(outputs).weight
    return np.einsum("ri,kcij,sj->rskc", matrix, weight.astype(np.float64), matrix, optimize=True).astype(np.float32)


def _product(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the polynomial with these roots, from the constant one on."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _array(rows: Sequence[Sequence[Fraction]]) -> np.ndarray:
    return np.array([[float(entry) for entry in row] for row in rows])
