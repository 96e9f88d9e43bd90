"""The rank of noisy matrices."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.compress.lowrank.vbmf import vbmf_rank


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (64, 64)])
@pytest.mark.parametrize("rank", [0, 1, 5, 12])
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_signal_is_told_from_noise(shape: tuple[int, int], rank: int, scale: float) -> None:
    random = np.random.default_rng(rank)
    signal = random.standard_normal((shape[0], rank)) @ random.standard_normal((rank, shape[1]))
    assert vbmf_rank(scale * (signal + 0.5 * random.standard_normal(shape))) == rank


def test_weak_signal_is_lost_in_noise() -> None:
    """Below the edge of the noise's own singular values nothing can be told."""
    random = np.random.default_rng(0)
    signal = np.outer(random.standard_normal(50), random.standard_normal(80))
    noise = random.standard_normal((50, 80))
    assert vbmf_rank(0.05 * signal + noise) == 0
    assert vbmf_rank(5 * signal + noise) == 1


def test_odd_matrices() -> None:
    assert vbmf_rank(np.zeros((4, 7))) == 0
    assert vbmf_rank(np.ones((4, 7))) == 1
    assert vbmf_rank(np.ones((1, 1))) <= 1
