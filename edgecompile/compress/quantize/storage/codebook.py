"""The 2^bits values that k-means finds.

Source: S. Han et al., "Deep Compression", ICLR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecompile.compress.quantize.storage.k_means import cluster_centers
from edgecompile.storage.runs import run_axes, split, spread
from edgecompile.storage.stored_weight import CodedWeight


def encode_codebook(weight: np.ndarray, blocks: Sequence[int], bits: int) -> CodedWeight:
    """`scale * table[code]`, with one table for the layer.

    With one scale, that is one, the table holds the weights' centers themselves. With more, it holds those of the
    weights divided by their scale, which is the largest magnitude of its run; their errors count as they will be after
    the multiplication.

    Args:
        weight: float32, finite.
        blocks: how many scales there are along each axis.
    """
    scale = np.ones(tuple(blocks), np.float32)
    if scale.size > 1:
        largest = np.abs(split(weight, blocks)).max(axis=run_axes(weight.ndim), initial=0.0)
        scale = np.where(largest > 0, largest, np.float32(1))
    spread_scale = spread(scale, weight.shape).astype(np.float64)
    relative = (weight / spread_scale).reshape(-1)
    # Of scales that differ by more than the square root of the largest float64, the lower ones do not count.
    importance = np.maximum((spread_scale / spread_scale.max(initial=1e-30)).reshape(-1) ** 2, 1e-30)
    centers = cluster_centers(relative, importance, 1 << bits)
    table = np.zeros(1 << bits, np.float32)
    table[: len(centers)] = centers
    table[len(centers) :] = centers[-1] if len(centers) else 0
    return CodedWeight(nearest(relative, table, len(centers)).reshape(weight.shape), bits, scale, table=table)


def nearest(values: np.ndarray, table: np.ndarray, count: int) -> np.ndarray:
    """uint8 `[n]`: which of the first `count` entries of an ascending table is the nearest to each value."""
    used = table[:count].astype(np.float64)
    return np.searchsorted((used[1:] + used[:-1]) / 2, values).astype(np.uint8)
