"""Values `scale * +-2^-k`, and zero.

Source: A. Zhou et al., "Incremental Network Quantization", ICLR 2017. There the scale is a power of two itself; here it
is one of eight within an octave, that with the least squared error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecompile.compress.quantize.storage.codebook import nearest
from edgecompile.storage.runs import run_axes, split, spread
from edgecompile.storage.stored_weight import CodedWeight

_PER_OCTAVE = 8
_MOST_POWERS = 31  # 2^-31 of the largest weight is nothing; further powers would leave float32


def powers(bits: int) -> np.ndarray:
    """float32 `[2^bits]`: -1, -1/2, ..., 0, ..., 1/2, 1, ascending; zeros fill up in the middle."""
    half = 1 << (bits - 1)
    falling = np.ldexp(np.float32(1), -np.arange(half - 1)).astype(np.float32)
    falling[_MOST_POWERS:] = 0
    return np.concatenate([-falling, np.zeros(2, np.float32), falling[::-1]])


def encode_power_of_two(weight: np.ndarray, blocks: Sequence[int], bits: int) -> CodedWeight:
    """`scale * table[code]`, the table as of `powers`.

    Args:
        weight: float32, finite.
        blocks: how many scales there are along each axis.
    """
    table = powers(bits)
    exact = weight.astype(np.float64)
    largest = np.abs(split(exact, blocks)).max(axis=run_axes(weight.ndim), initial=0.0)
    best, best_errors = np.ones(tuple(blocks), np.float32), np.full(tuple(blocks), np.inf)
    for step in range(_PER_OCTAVE):
        scale = (largest * 2 ** (-step / _PER_OCTAVE)).astype(np.float32)
        scale = np.where(scale > 0, scale, np.float32(1))
        wide = spread(scale, weight.shape).astype(np.float64)
        decoded = wide * table[_codes(exact / wide, table)]
        errors = np.square(split(exact - decoded, blocks) / np.maximum(largest.max(initial=0), 1e-30)).sum(
            axis=run_axes(weight.ndim)
        )
        better = errors < best_errors
        best, best_errors = np.where(better, scale, best), np.where(better, errors, best_errors)
    codes = _codes(exact / spread(best, weight.shape), table)
    return CodedWeight(codes, bits, best, table=table)


def _codes(relative: np.ndarray, table: np.ndarray) -> np.ndarray:
    return nearest(relative.reshape(-1), table, len(table)).reshape(relative.shape)
