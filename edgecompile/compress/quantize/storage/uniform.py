"""Evenly spaced values: `scale * (code - zero_point)`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecompile.storage.runs import run_axes, split, spread
from edgecompile.storage.stored_weight import CodedWeight


def encode_uniform(
    weight: np.ndarray, blocks: Sequence[int], bits: int, *, symmetric: bool = True, highest: int | None = None
) -> CodedWeight:
    """The nearest of 2^bits values, or 2^bits - 1 where they are symmetric.

    Args:
        weight: float32, finite.
        blocks: how many scales there are along each axis; see `edgecompile.storage.runs`.
        symmetric: the zero point is 2^(bits - 1), and codes go as far down as up. Otherwise each scale has a zero
            point of its own, and spans the values from the lowest to the highest, and zero.
        highest: the signed code of the largest magnitude; None means 2^(bits - 1) - 1. With `symmetric` only.
    """
    middle, levels = 1 << (bits - 1), (1 << bits) - 1
    parts = split(weight.astype(np.float64), blocks)  # a span of float32 may be more than float32 holds
    low = np.minimum(parts.min(axis=run_axes(weight.ndim), initial=0.0), 0.0)
    high = np.maximum(parts.max(axis=run_axes(weight.ndim), initial=0.0), 0.0)
    if symmetric:
        top = middle - 1 if highest is None else highest
        scale = _positive(np.maximum(-low, high) / top)
        steps = np.rint(weight / spread(scale, weight.shape).astype(np.float64))
        codes = np.clip(steps, -top, top) + middle
        zero_point = np.full([1] * weight.ndim, middle, np.uint8)
    else:
        scale = _positive((high - low) / levels)
        zero_point = np.clip(np.rint(-low / scale.astype(np.float64)), 0, levels).astype(np.uint8)
        steps = np.rint(weight / spread(scale, weight.shape).astype(np.float64))
        codes = np.clip(steps + spread(zero_point, weight.shape), 0, levels)
    return CodedWeight(codes.astype(np.uint8), bits, scale, zero_point)


def _positive(scale: np.ndarray) -> np.ndarray:
    """float32, with one where all weights are zero, or too small for a scale."""
    single = scale.astype(np.float32)
    return np.where(single > 0, single, np.float32(1))
