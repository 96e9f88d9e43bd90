"""GPTQ against the algorithm written out, against nearest, and on inputs that break a Cholesky factor."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.compress.quantize.improve.gptq import gptq as real_gptq
from edgecompile.compress.quantize.weights import IntegerWeight, WeightForm, WeightGrid, widest_grid

RANDOM = np.random.default_rng(0)


def gptq(steps: np.ndarray, lowest: int, highest: int, gram: np.ndarray) -> np.ndarray | None:
    """Of weights in units of their scales."""

    def unit(weight: np.ndarray, form: WeightForm, terms: slice) -> WeightGrid:
        assert weight.shape == steps.shape and terms == slice(0, steps.shape[-1])
        return WeightGrid(form, np.ones(form.blocks, np.float32), np.zeros(form.blocks, np.int8))

    found = real_gptq(steps, WeightForm((1, 1, 1), lowest, highest), gram, unit)
    return None if found is None else found.integers.astype(np.float64)


def correlated(groups: int, rows: int, terms: int) -> np.ndarray:
    mixing = RANDOM.standard_normal((groups, terms, terms)) / np.sqrt(terms) + np.eye(terms)
    return RANDOM.standard_normal((groups, rows, terms)) @ mixing + 0.5


def error(rows: np.ndarray, difference: np.ndarray) -> float:
    return float(np.square(rows @ difference.transpose(0, 2, 1)).sum())


@pytest.mark.parametrize(("groups", "channels", "terms"), [(1, 5, 17), (3, 1, 9), (1, 3, 300)])
def test_smaller_error_than_nearest(groups: int, channels: int, terms: int) -> None:
    """300 terms are more than a block."""
    rows = correlated(groups, 4 * terms, terms)
    steps = RANDOM.uniform(-7, 7, (groups, channels, terms))
    found = gptq(steps, -7, 7, rows.transpose(0, 2, 1) @ rows)
    assert found is not None
    assert (found == np.rint(found)).all() and np.abs(found).max() <= 7
    assert error(rows, found - steps) < 0.8 * error(rows, np.clip(np.rint(steps), -7, 7) - steps)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = correlated(1, 200, 50)
    steps, gram = RANDOM.uniform(-7, 7, (1, 4, 50)), rows.transpose(0, 2, 1) @ rows
    whole = gptq(steps, -7, 7, gram)
    monkeypatch.setattr("edgecompile.compress.quantize.improve.gptq._BLOCK", 7)
    np.testing.assert_array_equal(gptq(steps, -7, 7, gram), whole)


def test_optimal_brain_quantization_of_one_channel() -> None:
    """The paper's equation 3 step by step: the rest is the least-squares answer to what was rounded."""
    rows = correlated(1, 60, 6)
    steps = RANDOM.uniform(-5, 5, (1, 1, 6))
    gram = rows.transpose(0, 2, 1) @ rows
    hessian = gram[0] + 0.01 * np.trace(gram[0]) / 6 * np.eye(6)
    rest = steps[0, 0].copy()
    expected = []
    for term in range(6):
        whole = np.rint(rest[term])
        expected.append(whole)
        inverse = np.linalg.inv(hessian[term:, term:])
        rest[term:] -= (rest[term] - whole) / inverse[0, 0] * inverse[0]
    np.testing.assert_array_equal(gptq(steps, -127, 127, gram), [[expected]])


def test_uncorrelated_terms_are_rounded_to_nearest() -> None:
    steps = RANDOM.uniform(-9, 9, (1, 3, 8))
    np.testing.assert_array_equal(gptq(steps, -7, 7, np.eye(8)[None]), np.clip(np.rint(steps), -7, 7))


@pytest.mark.parametrize("gram", [np.zeros((1, 4, 4)), np.ones((1, 4, 4)), np.diag([1.0, 0, 4, 0])[None]])
def test_dead_and_equal_terms(gram: np.ndarray) -> None:
    """Terms that were always zero, or always the same, have no inverse without damping."""
    steps = np.array([[[0.4, 1.6, -2.3, 0.0], [0, 0, 0, 0]]])
    found = gptq(steps, -7, 7, gram)
    assert found is not None and np.isfinite(found).all()
    dead = np.diag(gram[0]) == 0
    np.testing.assert_array_equal(found[..., dead], np.rint(steps)[..., dead])
    np.testing.assert_array_equal(found[0, 1], 0)


def test_nan_has_no_answer() -> None:
    assert gptq(np.ones((1, 1, 2)), -7, 7, np.full((1, 2, 2), np.nan)) is None


@pytest.mark.parametrize("run", [3, 10, 30])
@pytest.mark.parametrize("block", [1, 8, 128])
@pytest.mark.parametrize("symmetric", [True, False])
def test_groups_have_the_scales_of_their_updated_weights(
    run: int, block: int, symmetric: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Column by column, with scales of a group from the weights as they are when it begins."""
    monkeypatch.setattr("edgecompile.compress.quantize.improve.gptq._BLOCK", block)
    rows = correlated(2, 200, 30)
    weight = RANDOM.standard_normal((2, 4, 30)) * np.exp(RANDOM.standard_normal(30))
    gram = rows.transpose(0, 2, 1) @ rows
    form = WeightForm((2, 4, 30 // run), -7 if symmetric else -8, 7, symmetric)
    found = real_gptq(weight, form, gram, lambda part, of_run, terms: widest_grid(part, of_run))
    assert isinstance(found, IntegerWeight) and found.grid.scales.shape == form.blocks
    rest = weight.copy()
    of_run = WeightForm((2, 4, 1), form.lowest, form.highest, symmetric)
    for term in range(30):
        if term % run == 0:
            grid = widest_grid(rest[..., term : term + run], of_run)
            np.testing.assert_allclose(found.grid.scales[..., term // run], grid.scales[..., 0], rtol=1e-5)
        scales, zeros = grid.scales[..., 0].astype(np.float64), grid.zero_points[..., 0]
        whole = np.clip(np.rint(rest[..., term] / scales + zeros), form.lowest, form.highest)
        np.testing.assert_array_equal(found.integers[..., term], whole)
        error = rest[..., term] - scales * (whole - zeros)
        for group in range(2):
            damped = gram[group] + 0.01 * np.trace(gram[group]) / 30 * np.eye(30)
            inverse = np.linalg.inv(damped[term:, term:])
            rest[group, :, term:] -= error[group][:, None] / inverse[0, 0] * inverse[0]
