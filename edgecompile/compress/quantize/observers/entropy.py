"""The range that loses the least information in the sense of Kullback and Leibler: TensorRT's calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.observers.histogram import Histogram
from edgecompile.compress.quantize.observers.observer import Range
from edgecompile.errors import InvalidCalibrationError

if TYPE_CHECKING:
    import numpy as np

_MAX_BINS = 4096  # of magnitudes; at least half of them are used
_THRESHOLDS = 256  # tried for each tensor: neighbouring bins differ by less than 1 % of the range
_SMOOTHING = 1e-4  # the probability that a bin without values gets, so that the divergence stays finite


@dataclass(frozen=True)
class Entropy:
    """The threshold T at which |values| clipped to T and cut into levels diverge least from |values|.

    With P the histogram of magnitudes up to T, those beyond T added to its last bin, and Q the same without them,
    averaged over each of the levels where P is not empty: KL(P || Q) = sum P log(P / Q), both smoothed and normalised.
    The result is [max(min, -T), min(max, T)], so never wider than the values. Exact zeros are not counted, since the
    zero point represents them; after ReLU they would outweigh all else. One-sided values have 2^bits levels, others
    2^(bits - 1) on either side; from 12 or 13 bits on, where levels are as many as bins, nothing is clipped.

    Attributes:
        bits: of the integers, 2 to 16.

    Source: Migacz, "8-bit Inference with TensorRT", GTC 2017, where thresholds run from 128 bins to all 2,048; here
        there are 2,049 to 4,096 bins, of which every ninth to sixteenth is tried.
    """

    bits: int = 8

    needs = Histogram

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise InvalidCalibrationError(f"bits must be from 2 to 16, found {self.bits}")

    def result(self, statistic: Histogram) -> Range:
        import numpy as np

        if not len(statistic.counts):
            return Range(0.0, 0.0)
        one_sided = statistic.low >= 0 or statistic.high <= 0
        levels = 2**self.bits if one_sided else 2 ** (self.bits - 1)
        counts, width = _magnitudes(statistic)
        if levels >= len(counts):
            return Range.around_zero(statistic.low, statistic.high)
        stride = -(-len(counts) // _THRESHOLDS)
        sizes = [*range(levels, len(counts), stride), len(counts)]
        divergences = [divergence(counts, size, levels) for size in sizes]
        # Of equals the widest: a tensor of few values has the same divergence at many thresholds.
        best = len(sizes) - 1 - int(np.argmin(divergences[::-1]))
        threshold = sizes[best] * width
        return Range.around_zero(max(statistic.low, -threshold), min(statistic.high, threshold))

    def __str__(self) -> str:
        return "entropy" if self.bits == 8 else f"entropy({self.bits})"


def divergence(counts: np.ndarray, size: int, levels: int) -> float:
    """KL(P || Q) of clipping to the first `size` bins and cutting these into `levels`; inf where nothing is left.

    Args:
        counts: [bins] int64, of magnitudes, from zero upwards.
        size: of the bins, as many as levels at least.
    """
    import numpy as np

    inside = counts[:size].astype(np.float64)
    if not inside.any():
        return float("inf")
    clipped = inside.copy()
    clipped[-1] += counts[size:].sum()
    borders = np.arange(levels) * size // levels
    occupied = inside > 0
    mean = np.add.reduceat(inside, borders) / np.maximum(np.add.reduceat(occupied, borders, dtype=np.int64), 1)
    coarse = np.repeat(mean, np.diff(borders, append=size)) * occupied
    p, q = _smooth(clipped), _smooth(coarse)
    return float(np.sum(p * np.log(p / q)))


def _smooth(counts: np.ndarray) -> np.ndarray:
    """Probabilities, none of them zero: empty bins get a little, which the others give in proportion."""
    import numpy as np

    empty = counts == 0
    given = _SMOOTHING / len(counts)
    return np.where(empty, given, counts / counts.sum() * (1 - given * np.count_nonzero(empty)))


def _magnitudes(histogram: Histogram) -> tuple[np.ndarray, float]:
    """Counts of |values| that are not zero, [2,049 to 4,096 bins] int64, and the width of a bin."""
    import numpy as np

    counts = histogram.counts.copy()
    counts[-histogram.first] -= histogram.zeros
    positive, negative = counts[-histogram.first :], counts[: -histogram.first][::-1]
    folded = np.zeros(max(len(positive), len(negative)), np.int64)
    folded[: len(positive)] += positive
    folded[: len(negative)] += negative
    width = histogram.width
    while len(folded) > _MAX_BINS:
        folded = np.pad(folded, (0, len(folded) % 2)).reshape(-1, 2).sum(1)
        width *= 2
    return folded, width
