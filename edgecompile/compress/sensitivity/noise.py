"""Signal-to-noise ratio of a model's outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.compress.driver import Predict

Samples: TypeAlias = "Sequence[Mapping[str, np.ndarray]]"
"""Inputs of inferences by name, in the model's order."""

HIGHEST_DB = 200.0
"""What equal outputs count as: float32 ends at 150."""


def answers(predict: Predict, samples: Samples) -> list[list[np.ndarray]]:
    """The outputs for each sample."""
    return [predict(list(sample.values())) for sample in samples]


def signal_to_noise_db(expected: Iterable[Sequence[np.ndarray]], found: Iterable[Sequence[np.ndarray]]) -> float | None:
    """10 log10(sum y^2 / sum (y - y')^2) over all samples, of the worst floating output.

    Args:
        expected, found: for each sample the outputs y and y'.

    Returns:
        At most `HIGHEST_DB`, at least its negative, which stands for outputs that are NaN or infinite too; None where
        no output is floating or all are zero.
    """
    import numpy as np

    signals: dict[int, float] = {}
    noises: dict[int, float] = {}
    for one, other in zip(expected, found, strict=True):
        for index, (y, z) in enumerate(zip(one, other, strict=True)):
            if y.dtype.kind != "f":
                continue
            exact, approximate = y.astype(np.float64), z.astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                signals[index] = signals.get(index, 0.0) + float(np.square(exact).sum())
                noises[index] = noises.get(index, 0.0) + float(np.square(exact - approximate).sum())
    ratios = [_decibels(signals[index], noises[index]) for index in signals if signals[index] > 0]
    return min(ratios, default=None)


def _decibels(signal: float, noise: float) -> float:
    if not math.isfinite(noise):
        return -HIGHEST_DB
    if noise <= 0:
        return HIGHEST_DB
    return max(-HIGHEST_DB, min(HIGHEST_DB, 10 * math.log10(signal / noise)))
