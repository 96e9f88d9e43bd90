"""From a recipe's calibration to the observer that does it."""

from __future__ import annotations

from edgecompile.compress.quantize import observers
from edgecompile.compress.quantize.observers.observer import Observer
from edgecompile.compress.quantize.scheme import (
    Calibration,
    KullbackLeibler,
    MeanSquaredError,
    MinMax,
    MovingAverage,
    Percentile,
)


def chosen_observer(calibration: Calibration, bits: int = 8) -> Observer:
    """The observer with the recipe's parameters, for integers of so many bits; equal calibrations make equal ones."""
    match calibration:
        case MinMax():
            return observers.MinMax()
        case MovingAverage(rate=rate):
            return observers.MovingAverage(rate)
        case Percentile(percent=percent):
            return observers.Percentile(percent)
        case MeanSquaredError():
            return observers.MeanSquaredError(bits)
        case KullbackLeibler():
            return observers.Entropy(bits)
