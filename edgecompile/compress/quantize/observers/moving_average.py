"""The average of the samples' own ranges, recent samples counting more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.observers.observer import Range, finite_extremes
from edgecompile.errors import InvalidCalibrationError

if TYPE_CHECKING:
    import numpy as np


class MovingExtremes:
    """Exponential moving averages of each sample's least and greatest value; four numbers."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._low = self._high = self._weight = 0.0

    def update(self, array: np.ndarray) -> None:
        low, high = finite_extremes(array)
        self._low += self._rate * (low - self._low)
        self._high += self._rate * (high - self._high)
        self._weight += self._rate * (1 - self._weight)

    @property
    def low(self) -> float:
        """The average least value, corrected for the start from zero."""
        return self._low / self._weight

    @property
    def high(self) -> float:
        """The average greatest value, corrected for the start from zero."""
        return self._high / self._weight


@dataclass(frozen=True)
class MovingAverage:
    """average += rate * (sample's extreme - average), divided by 1 - (1 - rate)^samples.

    Without the division the first sample would weigh 60 % after 50 samples at the rate 0.01; with it the average is
    nearly the plain mean until there are some 1 / rate samples.

    Attributes:
        rate: the weight of the newest sample, above 0 and at most 1.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
        Inference", 2018, section 3.1; the correction is that of Kingma and Ba, "Adam", 2015, section 3.
    """

    rate: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise InvalidCalibrationError(f"rate must be above 0 and at most 1, found {self.rate:g}")

    @property
    def needs(self) -> Callable[[], MovingExtremes]:
        return _averaging_at(self.rate)

    def result(self, statistic: MovingExtremes) -> Range:
        return Range.around_zero(statistic.low, statistic.high)

    def __str__(self) -> str:
        return f"moving_average({self.rate:g})"


@cache
def _averaging_at(rate: float) -> Callable[[], MovingExtremes]:
    """The same function for the same rate, so that observers that are equal find each other's statistic."""
    return partial(MovingExtremes, rate)
