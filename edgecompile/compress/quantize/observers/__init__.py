"""How the range of a tensor is chosen from the values that it took; one rule per file."""

from edgecompile.compress.quantize.observers.entropy import Entropy
from edgecompile.compress.quantize.observers.histogram import Histogram
from edgecompile.compress.quantize.observers.min_max import MinMax
from edgecompile.compress.quantize.observers.moving_average import MovingAverage
from edgecompile.compress.quantize.observers.mse import MeanSquaredError
from edgecompile.compress.quantize.observers.observer import Observer, Range
from edgecompile.compress.quantize.observers.percentile import Percentile
from edgecompile.compress.quantize.observers.registry import find_observer, observer_names

__all__ = [
    "Entropy",
    "Histogram",
    "MeanSquaredError",
    "MinMax",
    "MovingAverage",
    "Observer",
    "Percentile",
    "Range",
    "find_observer",
    "observer_names",
]
