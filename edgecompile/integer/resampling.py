"""Linear resizing and average pooling as integer sums: which pixels an output is made of, and in which shares.

Shares are integers over one denominator for each axis. Those of averages are exact, whatever the count of pixels: their
denominator is the least common multiple of the counts. Those of linear resizing are exact wherever a denominator below
2^11 makes them so, as for all usual factors; others are rounded to 2^-11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgecompile.resizing import Axis

_MOST_DENOMINATOR = 2**11  # two of them times 2^8 stay in 30 bits
_NEAR = 1e-3  # of a share's numerator: float32 places of images of up to 2^13 pixels are that good


@dataclass(frozen=True)
class Taps:
    """How the outputs along one axis are made of pixels.

    Attributes:
        places: `[out_extent, taps]` int32, in the image.
        weights: int32 of the same shape, the shares times the denominator; zero for what is not read.
    """

    places: np.ndarray
    weights: np.ndarray
    denominator: int

    @property
    def largest_sum(self) -> int:
        """Of the magnitudes of an output's weights."""
        return int(np.abs(self.weights.astype(np.int64)).sum(axis=1).max())


def linear_taps(axis: Axis) -> Taps:
    """Of a linear resizing."""
    places, shares = axis.taps()
    for denominator in range(1, _MOST_DENOMINATOR + 1):
        numerators = shares[:, 1].astype(np.float64) * denominator
        if np.abs(numerators - np.rint(numerators)).max() < _NEAR:
            break
    second = np.rint(shares[:, 1].astype(np.float64) * denominator).astype(np.int32)
    return Taps(places, np.stack([denominator - second, second], axis=1), denominator)


def window_taps(
    extent: int, out_extent: int, *, size: int, stride: int, dilation: int, before: int, counts_padding: bool
) -> Taps | None:
    """Of averages over windows.

    Args:
        before: padding in front.
        counts_padding: averages are divided by the size of the whole window.

    Returns:
        None where a window holds no pixel.
    """
    places = np.arange(out_extent)[:, None] * stride - before + np.arange(size) * dilation
    return _average(places, extent, np.full(out_extent, size) if counts_padding else None)


def adaptive_taps(extent: int, out_extent: int) -> Taps:
    """Of averages over parts of about one size: from `floor(i * extent / out)` to `ceil((i + 1) * extent / out)`."""
    outputs = np.arange(out_extent)
    starts, ends = outputs * extent // out_extent, -(-(outputs + 1) * extent // out_extent)
    places = starts[:, None] + np.arange((ends - starts).max())
    found = _average(np.where(places < ends[:, None], places, -1), extent, None)
    assert found is not None
    return found


def _average(places: np.ndarray, extent: int, counts: np.ndarray | None) -> Taps | None:
    """Of the pixels that lie in the image; `counts` of them are as many as that where it is not given."""
    inside = (places >= 0) & (places < extent)
    divisors = inside.sum(axis=1) if counts is None else counts
    if not divisors.all():
        return None
    denominator = math.lcm(*(int(divisor) for divisor in divisors))
    weights = np.where(inside, denominator // divisors[:, None], 0)
    if weights.max() >= 2**31:
        return None
    return Taps(np.clip(places, 0, extent - 1).astype(np.int32), weights.astype(np.int32), denominator)
