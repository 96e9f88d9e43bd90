"""Histograms of quantized tensors, with the ranges that were chosen for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.compress.quantize.insert import TensorRange
    from edgecompile.compress.quantize.observers.histogram import Histogram
    from edgecompile.compress.quantize.prepared import Prepared

_MOST_BINS = 256


@dataclass(frozen=True)
class TensorHistogram:
    """The values of one tensor on the samples.

    Attributes:
        tensor: its name.
        first, width: bin i holds the values from `first + i * width` on.
        counts: at most 257, of which one at either end may be empty.
        low, high: the range that its integers span.
        clipped: the part of the values outside of it, as far as bins can tell.
    """

    tensor: str
    first: float
    width: float
    counts: tuple[int, ...]
    low: float
    high: float
    clipped: float


def tensor_histograms(ready: Prepared, progress: Callable[[str], None]) -> list[TensorHistogram]:
    """One for each tensor that was calibrated, in order of execution; none without samples."""
    from edgecompile.compress.quantize.observe import observe
    from edgecompile.compress.quantize.observers import MeanSquaredError

    if not ready.samples or not ready.ranges:
        return []
    observer = MeanSquaredError()  # one of those that need a histogram
    observed = observe(
        ready.model, ready.samples, observers=[observer], progress=lambda title, done, total: progress("histograms")
    )
    return [
        _histogram(name, tensor.statistic(observer), ready.ranges[name])
        for name, tensor in observed.tensors.items()
        if tensor.usable and name in ready.ranges
    ]


def _histogram(tensor: str, found: Histogram, chosen: TensorRange) -> TensorHistogram:
    import numpy as np

    edges = (found.first + np.arange(len(found.counts) + 1)) * found.width
    outside = found.counts[(edges[1:] <= chosen.low) | (edges[:-1] >= chosen.high)].sum()
    factor = -(-len(found.counts) // _MOST_BINS) or 1
    counts, skipped = _merged(found.counts, found.first, factor)
    return TensorHistogram(
        tensor=tensor,
        first=skipped * factor * found.width,
        width=factor * found.width or 1.0,
        counts=tuple(int(count) for count in counts),
        low=chosen.low,
        high=chosen.high,
        clipped=float(outside / max(found.total, 1)),
    )


def _merged(counts: np.ndarray, first: int, factor: int) -> tuple[np.ndarray, int]:
    """The counts in bins `factor` times as wide, whose borders are multiples of their width, and the first's index."""
    import numpy as np

    before = first % factor
    after = -(before + len(counts)) % factor
    return np.pad(counts, (before, after)).reshape(-1, factor).sum(1), (first - before) // factor
