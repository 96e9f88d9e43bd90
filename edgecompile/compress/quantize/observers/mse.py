"""The range whose 8-bit integers come closest to the values, in the mean square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.observers.histogram import Histogram
from edgecompile.compress.quantize.observers.observer import Range

if TYPE_CHECKING:
    import numpy as np

_CANDIDATES = 128  # for each end of the range


@dataclass(frozen=True)
class MeanSquaredError:
    """The (low, high), of 128 x 128 candidates, that has the least rounding and clipping error:

        error = sum over values outside of (distance to the range)^2
              + (values inside that are not zero) * step^2 / 12,        step = (high - low) / (2^bits - 1)

    The second term takes the values of one step to be spread evenly within it; exact zeros have no error, since the
    zero point represents them. Ends are borders of the histogram's bins, or the extremes themselves.

    Attributes:
        bits: of the integers, 2 to 16.

    Source: the error model is that of Banner et al., "Post training 4-bit quantization of convolutional networks for
        rapid-deployment" (ACIQ), 2019, with the histogram in place of a fitted distribution.
    """

    bits: int = 8

    needs = Histogram

    def __post_init__(self) -> None:
        assert 2 <= self.bits <= 16

    def result(self, statistic: Histogram) -> Range:
        import numpy as np

        if not len(statistic.counts):
            return Range(0.0, 0.0)
        counts = statistic.counts.astype(np.float64)
        counts[-statistic.first] -= statistic.zeros
        centres = (statistic.first + np.arange(len(counts)) + 0.5) * statistic.width
        positive, negative = centres > 0, centres < 0
        highs, clipped_high = _one_side(counts[positive], statistic.width, max(statistic.high, 0.0))
        lows, clipped_low = _one_side(counts[negative][::-1], statistic.width, max(-statistic.low, 0.0))
        step = (highs[:, None] + lows[None, :]) / (2**self.bits - 1)
        error = clipped_high[:, None] + clipped_low[None, :] + counts.sum() * step**2 / 12
        best_high, best_low = np.unravel_index(int(np.argmin(error)), error.shape)
        return Range.around_zero(-float(lows[best_low]), float(highs[best_high]))

    def __str__(self) -> str:
        return "mse" if self.bits == 8 else f"mse({self.bits})"


def _one_side(counts: np.ndarray, width: float, extreme: float) -> tuple[np.ndarray, np.ndarray]:
    """Candidate ends on one side of zero, and what clipping there costs.

    Args:
        counts: [bins] float64, of the values' magnitudes, from zero upwards.
        extreme: the greatest magnitude; 0.0 where there are no values on this side.

    Returns:
        ends, [candidates], and sum of (magnitude - end)^2 over the magnitudes beyond, [candidates]; both float64.
    """
    import numpy as np

    if extreme == 0:
        return np.zeros(1), np.zeros(1)
    borders = np.unique(np.linspace(0, len(counts), _CANDIDATES + 1).astype(np.int64)[1:])
    centres = (np.arange(len(counts)) + 0.5) * width
    # Sums over the bins from each border on, so that sum c (x - e)^2 = sum c x^2 - 2 e sum c x + e^2 sum c.
    beyond = [np.append(np.cumsum((counts * centres**power)[::-1])[::-1], 0.0)[borders] for power in range(3)]
    ends = borders * width
    clipped = np.maximum(beyond[2] - 2 * ends * beyond[1] + ends**2 * beyond[0], 0.0)
    return np.minimum(ends, extreme), clipped
