"""Signal-to-noise ratios against their definition."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.compress.sensitivity.noise import signal_to_noise_db

rng = np.random.default_rng(0)


def test_the_definition_over_all_samples() -> None:
    exact = [rng.standard_normal((2, 5)).astype(np.float32) for _ in range(3)]
    found = [y + 0.01 * rng.standard_normal(y.shape).astype(np.float32) for y in exact]
    signal = sum(np.square(y, dtype=np.float64).sum() for y in exact)
    noise = sum(np.square(z.astype(np.float64) - y).sum() for y, z in zip(exact, found, strict=True))
    expected = 10 * np.log10(signal / noise)
    assert signal_to_noise_db([[y] for y in exact], [[z] for z in found]) == pytest.approx(expected)
    assert 35 < expected < 45


def test_the_worst_output_counts_and_integers_do_not() -> None:
    y, index = np.ones(4, np.float32), np.arange(3)
    ratio = signal_to_noise_db([[y, y, index]], [[y, y + np.float32(0.1), index + 1]])
    assert ratio == pytest.approx(20, abs=1e-4)
    assert signal_to_noise_db([[index]], [[index]]) is None


def test_extremes() -> None:
    y, zero = np.ones(4, np.float32), np.zeros(4, np.float32)
    assert signal_to_noise_db([[y]], [[y.copy()]]) == 200
    assert signal_to_noise_db([[zero]], [[y]]) is None
    for broken in (np.nan, np.inf):
        assert signal_to_noise_db([[y]], [[y * np.float32(broken)]]) == -200
    assert signal_to_noise_db([[y]], [[zero]]) == 0
