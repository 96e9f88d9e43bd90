"""The moving average against its formula."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.compress.quantize.observers import MovingAverage


@pytest.mark.parametrize("rate", [0.01, 0.5, 1.0])
def test_weights_fall_by_the_rate(rate: float) -> None:
    observer = MovingAverage(rate)
    statistic = observer.needs()
    rng = np.random.default_rng(0)
    samples = [rng.uniform(-9, 9, 20).astype(np.float32) for _ in range(30)]
    for sample in samples:
        statistic.update(sample)
    weights = (1 - rate) ** np.arange(29, -1, -1)
    found = observer.result(statistic)
    assert found.low == pytest.approx(np.average([sample.min() for sample in samples], weights=weights), rel=1e-6)
    assert found.high == pytest.approx(np.average([sample.max() for sample in samples], weights=weights), rel=1e-6)


def test_equal_observers_share_a_statistic() -> None:
    assert MovingAverage(0.1).needs == MovingAverage(0.1).needs
    assert MovingAverage(0.1).needs != MovingAverage(0.2).needs
