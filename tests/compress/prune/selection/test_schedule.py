"""Schedules of gradual pruning."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompile.compress.prune.selection.schedule import cubic
from edgecompile.errors import InvalidRecipeError


def test_cubic() -> None:
    assert cubic(0.8, 4) == pytest.approx((0.8 * 37 / 64, 0.8 * 56 / 64, 0.8 * 63 / 64, 0.8))
    assert cubic(0.5, 2, initial=1.0) == (0.5625, 0.5)
    assert cubic(0.3, 1) == (0.3,)


@given(final=st.floats(0.01, 0.99), steps=st.integers(2, 50), initial=st.sampled_from([0.0, 1.0]))
def test_steps_become_smaller(final: float, steps: int, initial: float) -> None:
    found = [initial, *cubic(final, steps, initial)]
    changes = [abs(after - before) for before, after in itertools.pairwise(found)]
    assert found[-1] == final and len(changes) == steps
    assert found == sorted(found, reverse=initial > final)
    assert changes == sorted(changes, reverse=True)


def test_no_steps() -> None:
    with pytest.raises(InvalidRecipeError, match="at least 1 step, found 0"):
        cubic(0.5, 0)
