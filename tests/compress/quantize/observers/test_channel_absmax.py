"""Magnitudes per channel."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.compress.quantize.observers.channel_absmax import ChannelAbsMax


@pytest.mark.parametrize(
    ("shape", "others"),
    [((2, 5, 3, 4), (0, 2, 3)), ((2, 5, 3), (0, 1)), ((4, 7), (0,)), ((1, 2, 3, 4, 5), (0, 1, 2, 3))],
)
def test_against_numpy(shape: tuple[int, ...], others: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]
    statistic = ChannelAbsMax()
    for sample in samples:
        statistic.update(sample)
    expected = np.abs(np.stack(samples)).max(axis=(0, *(axis + 1 for axis in others)))
    np.testing.assert_array_equal(statistic.values, expected)


def test_vectors_have_no_channels() -> None:
    statistic = ChannelAbsMax()
    statistic.update(np.ones(4, np.float32))
    assert statistic.values is None
