"""The range whose integers come closest to the values, in the mean square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.observers.histogram import Histogram
from edgecompile.compress.quantize.observers.observer import Range
from edgecompile.errors import InvalidCalibrationError

if TYPE_CHECKING:
    import numpy as np

_CANDIDATES = 64  # for an end of the range: neighbours differ by 1/64 of the full range
_ROUNDS = 3


@dataclass(frozen=True)
class MeanSquaredError:
    """The (low, high) with the least error of rounding and clipping, by search over the histogram:

        error = sum over bins of count * (centre - quantized(centre))^2
        quantized(x) = step * (clip(round(x / step) + zero, 0, 2^bits - 1) - zero)
        step = (high - low) / (2^bits - 1),  zero = round(-low / step)

    First both ends shrink together, then each alone, three times in turn. Exact zeros are not counted, since the zero
    point represents them.

    Attributes:
        bits: of the integers, 2 to 16. Above 10 bits a step is hardly wider than a bin, and the range is the full one.

    Source: choosing the clipping threshold by the mean square is the "L2" method of Sung et al., "Resiliency of Deep
        Neural Networks under Quantization", 2015, here with a range that need not be symmetric.
    """

    bits: int = 8

    needs = Histogram

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise InvalidCalibrationError(f"bits must be from 2 to 16, found {self.bits}")

    def result(self, statistic: Histogram) -> Range:
        import numpy as np

        full = Range.around_zero(statistic.low, statistic.high)
        if not len(statistic.counts) or self.bits > 10:
            return full
        counts = statistic.counts.astype(np.float64)
        counts[-statistic.first] -= statistic.zeros
        occupied = np.flatnonzero(counts)
        centres = np.clip((statistic.first + occupied + 0.5) * statistic.width, full.low, full.high)
        return self._search(full, centres, counts[occupied])

    def __str__(self) -> str:
        return "mse" if self.bits == 8 else f"mse({self.bits})"

    def _search(self, full: Range, centres: np.ndarray, counts: np.ndarray) -> Range:
        parts = [part / _CANDIDATES for part in range(_CANDIDATES, 0, -1)]  # of equals the widest wins
        tried: dict[Range, float] = {}

        def best_of(candidates: list[Range]) -> Range:
            for candidate in candidates:
                if candidate not in tried:
                    tried[candidate] = _error(candidate, centres, counts, 2**self.bits - 1)
            return min(candidates, key=tried.__getitem__)

        best = best_of([Range(full.low * part, full.high * part) for part in parts])
        for _ in range(_ROUNDS):
            before = best
            best = best_of([best, *(Range(full.low * part, best.high) for part in parts if full.low)])
            best = best_of([best, *(Range(best.low, full.high * part) for part in parts if full.high)])
            if best == before:
                break
        return best


def _error(candidate: Range, centres: np.ndarray, counts: np.ndarray, steps: int) -> float:
    """The sum of squares of what quantization changes.

    Args:
        centres: of the bins, [bins] float64.
        counts: of the values in each, [bins] float64.
    """
    import numpy as np

    step = (candidate.high - candidate.low) / steps
    zero = round(-candidate.low / step)
    quantized = np.clip(np.rint(centres / step), -zero, steps - zero) * step
    return float(counts @ (centres - quantized) ** 2)
