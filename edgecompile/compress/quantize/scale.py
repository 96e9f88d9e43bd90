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


def symmetric_scales(weight: np.ndarray, axis: int | None, highest: int = HIGHEST) -> np.ndarray:
    """float32 `[]`, or `[channels]` along an axis: the largest magnitude becomes `highest`; one where all are zero.

    Args:
        weight: float32 of any shape, finite.
        axis: of the channels; None for one scale.
    """
    others = None if axis is None else tuple(position for position in range(weight.ndim) if position != axis)
    largest = np.abs(weight).max(axis=others, initial=0.0)
    scales = np.asarray(largest / highest, np.float32)
    return np.where(scales > 0, scales, np.float32(1))


def rounded(weight: np.ndarray, scales: np.ndarray, axis: int | None, highest: int = HIGHEST) -> np.ndarray:
    """int8 nearest to `weight / scales`, within `-highest` to `highest`."""
    shape = [-1 if position == axis else 1 for position in range(weight.ndim)] if axis is not None else []
    steps = np.rint(weight / scales.reshape(shape))
    return np.clip(steps, -highest, highest).astype(np.int8)
