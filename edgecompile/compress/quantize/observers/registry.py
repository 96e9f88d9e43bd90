"""Observers by name."""

from __future__ import annotations

from collections.abc import Callable

from edgecompile.compress.quantize.observers.entropy import Entropy
from edgecompile.compress.quantize.observers.min_max import MinMax
from edgecompile.compress.quantize.observers.moving_average import MovingAverage
from edgecompile.compress.quantize.observers.mse import MeanSquaredError
from edgecompile.compress.quantize.observers.observer import Observer
from edgecompile.compress.quantize.observers.percentile import Percentile
from edgecompile.errors import InvalidCalibrationError

_OBSERVERS: dict[str, Callable[[], Observer]] = {
    "entropy": Entropy,
    "min_max": MinMax,
    "moving_average": MovingAverage,
    "mse": MeanSquaredError,
    "percentile": Percentile,
}


def observer_names() -> tuple[str, ...]:
    """Every name that `find_observer` knows, sorted."""
    return tuple(sorted(_OBSERVERS))


def find_observer(name: str) -> Observer:
    """The observer of that name, with its default options.

    Raises:
        InvalidCalibrationError: no such observer.
    """
    if name not in _OBSERVERS:
        raise InvalidCalibrationError(f"no observer is named {name!r}: choose from {', '.join(observer_names())}")
    return _OBSERVERS[name]()
