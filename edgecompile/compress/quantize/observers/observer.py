"""What an observer is: the statistic that it needs of a tensor's values, and the range that it makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgecompile.errors import InvalidCalibrationError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Range:
    """The real values that the integers of a quantized tensor span: `low <= 0 <= high`, both finite.

    Zero is inside because padding, ReLU and masks make exact zeros, which must stay exact. (0, 0) is a tensor that is
    zero everywhere.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        assert self.low <= 0 <= self.high

    @classmethod
    def around_zero(cls, low: float, high: float) -> Range:
        """The least range with `low`, `high` and zero."""
        return cls(min(low, 0.0), max(high, 0.0))


class Statistic(Protocol):
    """What is remembered of the values that a tensor took; its size does not grow with the number of samples."""

    def update(self, array: np.ndarray) -> None:
        """Take in the tensor's values of one more sample, of any shape, one element at least, all finite.

        Raises:
            InvalidCalibrationError: a value is NaN or infinite.
        """
        ...


class Observer(Protocol):
    """A rule that chooses a range; frozen, so one serves all tensors.

    `str(observer)` names it with its options, as the calibration table shows it.
    """

    @property
    def needs(self) -> Callable[[], Any]:
        """Makes the empty statistic, one per tensor, that `result` reads; observers with equal `needs` share it."""
        ...

    def result(self, statistic: Any) -> Range:
        """The range for the values that the statistic took in, one sample at least."""
        ...


def finite_extremes(array: np.ndarray) -> tuple[float, float]:
    """The least and the greatest value.

    Raises:
        InvalidCalibrationError: a value is NaN or infinite.
    """
    import numpy as np

    low, high = float(array.min()), float(array.max())  # NaN wins in both
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InvalidCalibrationError(f"observed values must be finite, found {low:g} to {high:g}")
    return low, high
