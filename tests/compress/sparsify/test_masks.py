"""Which weights stay."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.compress.sparsify.masks import keep_globally, keep_pattern, keep_share


def scores(*shape: int) -> np.ndarray:
    return np.abs(np.random.default_rng(sum(shape)).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (3, 4), (1, 2), (4, 8), (1, 16)])
@pytest.mark.parametrize("inputs", [1, 3, 4, 8, 10, 16])
def test_n_of_m_are_the_largest_of_each_run(n: int, m: int, inputs: int) -> None:
    found = scores(5, 3, inputs)
    kept = keep_pattern(found, n, m)
    for start in range(0, inputs, m):
        run, staying = found[..., start : start + m], kept[..., start : start + m]
        assert (staying.sum(axis=2) == min(n, run.shape[2])).all()
        worst_kept = np.where(staying, run, np.inf).min(axis=2)
        best_gone = np.where(staying, -np.inf, run).max(axis=2)
        assert (worst_kept >= best_gone).all()


def test_n_of_m_of_zeros_and_of_equal_scores() -> None:
    for value in (0.0, 1.0):
        kept = keep_pattern(np.full((2, 1, 8), value, np.float32), 2, 4)
        assert (kept.reshape(2, 2, 4).sum(axis=2) == 2).all()


@pytest.mark.parametrize("sparsity", [0.01, 0.5, 0.77, 0.999])
def test_a_share_of_the_layer_and_of_each_output(sparsity: float) -> None:
    found = scores(7, 9, 5)
    found[3] *= 100
    layer, outputs = (keep_share(found, sparsity, per_output=per_output) for per_output in (False, True))
    assert (~layer).sum() == min(round(sparsity * found.size), found.size - 1)
    assert found[layer].min() >= found[~layer].max(initial=0)
    assert ((~outputs).reshape(7, -1).sum(axis=1) == min(round(sparsity * 45), 44)).all()


def test_all_layers_together_keep_their_best_whatever_their_scale() -> None:
    found = {"wide": scores(8, 9, 16), "narrow": scores(4, 1, 3) * np.float32(1e-30), "zero": np.zeros((2, 1, 4))}
    kept = keep_globally(found, 0.9)
    total = sum(array.size for array in found.values())
    assert sum((~mask).sum() for mask in kept.values()) == round(0.9 * total)
    for name in ("wide", "narrow"):
        assert kept[name].reshape(-1)[found[name].argmax()]
        assert found[name][kept[name]].min() >= found[name][~kept[name]].max(initial=0)
    assert not kept["zero"].any()


def test_comparable_scores_are_those_of_the_source() -> None:
    """1, 2, 2, 4: squares 1, 4, 4, 16 by sums 25, 24, 20, 16; 3 alone is 1. Of the five the three least go."""
    kept = keep_globally({"a": np.array([[[4.0, 1, 2, 2]]]), "b": np.array([[[3.0]]])}, 0.6)
    assert kept["a"].tolist() == [[[True, False, False, False]]] and kept["b"].all()
