"""AdaRound against trying everything, and on inputs without information."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgecompile.compress.quantize.improve.adaround import adaround

RANDOM = np.random.default_rng(0)


def test_nearly_the_best_of_all_choices() -> None:
    """2^8 choices for each of 16 channels; the least error of all of them together, within a third."""
    mixing = np.eye(8) + 0.5 * RANDOM.standard_normal((8, 8))
    rows = (RANDOM.standard_normal((1, 300, 8)) @ mixing + 1).astype(np.float32)
    steps = RANDOM.uniform(-6.9, 6.9, (1, 16, 8))
    found = adaround(steps, -7, 7, rows)
    choices = np.array(list(itertools.product([0, 1], repeat=8)))
    errors = np.zeros(3)  # of the best, ours, nearest
    for exact, ours in zip(steps[0], found[0], strict=True):
        everything = np.square(rows[0] @ (np.floor(exact) + choices - exact).T).mean(axis=0)
        two = [np.square(rows[0] @ (whole - exact)).mean() for whole in (ours, np.rint(exact))]
        errors += [everything.min(), *two]
    assert errors[1] <= 1.33 * errors[0] < 0.6 * errors[2]
    assert (np.abs(found - steps) < 1).all()


def test_the_same_each_time() -> None:
    rows = RANDOM.standard_normal((3, 400, 9)).astype(np.float32)
    steps = RANDOM.uniform(-7, 7, (3, 2, 9))
    np.testing.assert_array_equal(adaround(steps, -7, 7, rows), adaround(steps, -7, 7, rows))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_inputs_and_whole_weights(value: float) -> None:
    rows = np.full((1, 1, 3), value, np.float32)
    steps = np.array([[[0.0, 2.0, -7.0], [9.0, -9.0, 0.4]]])
    found = adaround(steps, -7, 7, rows)
    assert np.isfinite(found).all() and np.abs(found).max() <= 7 and (found == np.rint(found)).all()
    if value == 0:
        np.testing.assert_array_equal(found, np.clip(np.rint(steps), -7, 7))
