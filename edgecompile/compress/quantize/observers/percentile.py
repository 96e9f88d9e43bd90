"""The range that leaves a fixed share of the values outside, at either end."""

from __future__ import annotations

from dataclasses import dataclass

from edgecompile.compress.quantize.observers.histogram import Histogram
from edgecompile.compress.quantize.observers.observer import Range
from edgecompile.errors import InvalidCalibrationError


@dataclass(frozen=True)
class Percentile:
    """low = min(0, the (100 - percent) % quantile), high = max(0, the `percent` % quantile).

    Exact within one bin of the histogram, at most 1/4,096 of the full range; values are taken to be spread evenly
    within a bin.

    Attributes:
        percent: above 50 and at most 100; 100 is the full range.
    """

    percent: float = 99.99

    needs = Histogram

    def __post_init__(self) -> None:
        if not 50 < self.percent <= 100:
            raise InvalidCalibrationError(f"percent must be above 50 and at most 100, found {self.percent:g}")

    def result(self, statistic: Histogram) -> Range:
        share = self.percent / 100
        return Range.around_zero(quantile(statistic, 1 - share), quantile(statistic, share))

    def __str__(self) -> str:
        return f"percentile({self.percent:g})"


def quantile(histogram: Histogram, share: float) -> float:
    """The value that `share` of all values do not exceed, 0 <= share <= 1, by linear interpolation within its bin."""
    import numpy as np

    if not len(histogram.counts):
        return 0.0
    if share <= 0 or share >= 1:
        return histogram.low if share <= 0 else histogram.high
    cumulative = np.cumsum(histogram.counts)
    rank = share * histogram.total
    position = int(np.searchsorted(cumulative, rank))
    count = int(histogram.counts[position])
    inside = (rank - (int(cumulative[position]) - count)) / count
    value = (histogram.first + position + inside) * histogram.width
    return min(max(value, histogram.low), histogram.high)
