"""`Histogram`: how often a tensor took which values, in one pass, without knowing the range beforehand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.observers.observer import finite_extremes

if TYPE_CHECKING:
    import numpy as np

#: At most so many bins. A range then has between half and all of them, and either side of zero has at least a quarter
#: where it is the longer one: 2,048, what entropy calibration was published with.
MAX_BINS = 8192
_BLOCK = 1 << 16  # elements that are binned at a time: their indices stay in the cache


class Histogram:
    """Counts over bins whose width is a power of two and whose borders are multiples of it.

    Bin `first + i` holds the values with floor(value / width) = first + i, so zero is always a border. When a value
    does not fit, the width doubles and bins merge in pairs, which is exact: however the values are cut into samples and
    in whatever order these come, the counts are the same. Memory: at most 64 KiB per tensor (8,192 counts of 8 bytes),
    and 2 MiB while an array is binned.

    Attributes:
        low, high: the least and the greatest value.
        counts: [bins] int64, over the values from min(low, 0) to max(high, 0); empty while all values are zero.
        first: the index of `counts[0]`; negative where there are negative values.
        zeros: how many values are exactly zero; `counts` has them too, once there is another value.
        total: how many values.
    """

    def __init__(self) -> None:
        import numpy as np

        self.low, self.high = math.inf, -math.inf
        self.counts: np.ndarray = np.zeros(0, np.int64)
        self.first = 0
        self.zeros = 0
        self.total = 0
        self._exponent: int | None = None  # width = 2^exponent

    @property
    def width(self) -> float:
        """Of one bin; 0.0 while all values are zero."""
        return 0.0 if self._exponent is None else math.ldexp(1.0, self._exponent)

    def update(self, array: np.ndarray) -> None:
        """Count the values of one more sample, [...] of a floating type.

        Raises:
            InvalidCalibrationError: a value is NaN or infinite.
        """
        import numpy as np

        low, high = finite_extremes(array)
        self.low, self.high = min(self.low, low), max(self.high, high)
        zeros = array.size - int(np.count_nonzero(array))
        if self._exponent is None and zeros < array.size:
            self._begin()
        self.zeros += zeros
        self.total += array.size
        if self._exponent is not None:
            self._make_room(self._exponent)
            self._count(array.reshape(-1))

    def _begin(self) -> None:
        """Choose the width at the first value other than zero; all before it were zero."""
        import numpy as np

        low, high = min(self.low, 0.0), max(self.high, 0.0)
        # So narrow that there are more than MAX_BINS even if the subtraction rounds up to a power of two.
        exponent = math.frexp(high - low)[1] - MAX_BINS.bit_length() - 1
        while _bins(low, high, exponent) > MAX_BINS:
            exponent += 1
        self._exponent = exponent
        self.first = _index(low, exponent)
        self.counts = np.zeros(_bins(low, high, exponent), np.int64)
        self.counts[-self.first] = self.zeros

    def _make_room(self, exponent: int) -> None:
        """Widen the bins until the range fits, and add empty ones at both ends."""
        import numpy as np

        low, high = min(self.low, 0.0), max(self.high, 0.0)
        while _bins(low, high, exponent) > MAX_BINS:
            odd = self.first % 2
            padded = np.pad(self.counts, (odd, (odd + len(self.counts)) % 2))
            self.counts = padded.reshape(-1, 2).sum(1)
            self.first = (self.first - odd) // 2
            exponent += 1
        self._exponent = exponent
        first, bins = _index(low, exponent), _bins(low, high, exponent)
        before = self.first - first
        self.counts = np.pad(self.counts, (before, bins - before - len(self.counts)))
        self.first = first

    def _count(self, values: np.ndarray) -> None:
        import numpy as np

        scale = 1 / self.width
        for start in range(0, values.size, _BLOCK):
            # In float64, where scaling by a power of two is exact for every float32.
            scaled = np.multiply(values[start : start + _BLOCK], scale, dtype=np.float64)
            indices = np.floor(scaled, out=scaled).astype(np.int64) - self.first
            self.counts += np.bincount(indices, minlength=len(self.counts))


def _index(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))


def _bins(low: float, high: float, exponent: int) -> int:
    return _index(high, exponent) - _index(low, exponent) + 1
