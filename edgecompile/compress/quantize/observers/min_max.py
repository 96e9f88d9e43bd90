"""The range from the least to the greatest value seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.observers.observer import Range, finite_extremes

if TYPE_CHECKING:
    import numpy as np


class Extremes:
    """The least and the greatest value of all samples; two numbers."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf

    def update(self, array: np.ndarray) -> None:
        low, high = finite_extremes(array)
        self.low, self.high = min(self.low, low), max(self.high, high)


@dataclass(frozen=True)
class MinMax:
    """Nothing is clipped: low = min(0, values), high = max(0, values).

    One outlier decides the step of the whole tensor, so it suits tensors that are bounded anyway, and few samples.
    """

    needs = Extremes

    def result(self, statistic: Extremes) -> Range:
        return Range.around_zero(statistic.low, statistic.high)

    def __str__(self) -> str:
        return "min_max"
