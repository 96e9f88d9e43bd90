"""Ranges of real numbers -> scales and zero points of int8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LOWEST, HIGHEST = -128, 127
_STEPS = HIGHEST - LOWEST


@dataclass(frozen=True)
class Affine:
    """real = scale * (integer - zero_point); the scale is a float32 number."""

    scale: float
    zero_point: int


def affine(low: float, high: float) -> Affine:
    """The finest int8 grid that spans a range and holds zero exactly.

    Args:
        low, high: finite, low <= high; widened to hold zero. A range of nothing but zero has the scale one.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / _STEPS))
    if not scale > 0:
        return Affine(1.0, 0)
    zero_point = int(np.clip(np.rint(LOWEST - low / scale), LOWEST, HIGHEST))
    return Affine(scale, zero_point)
