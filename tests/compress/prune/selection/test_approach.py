"""Few measurements find a ratio of times, whatever the stairs are like."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompile.compress.prune.selection.approach import PROMISED, Approach, approach

MOST = 6


def search(wanted: float, time_of: Callable[[float], float], least: float = 0.02, steps: int = 100) -> Approach[int]:
    """`time_of` a share; choices are multiples of 1 / steps."""
    measured: list[int] = []

    def measure(choice: int) -> float:
        assert choice not in measured and choice >= math.floor(least * steps), "each choice is measured once"
        measured.append(choice)
        return time_of(choice / steps)

    found = approach(wanted, least, lambda share: math.floor(share * steps + 1e-9), measure, MOST)
    assert [probe.choice for probe in found.probes] == measured and len(measured) <= MOST
    return found


@given(wanted=st.floats(0.35, 0.95), fixed=st.floats(0, 0.3), power=st.floats(0.4, 2))
def test_smooth_times(wanted: float, fixed: float, power: float) -> None:
    found = search(wanted, lambda share: fixed + (1 - fixed) * share**power)
    assert found.best is not None and abs(found.best.ratio - wanted) <= PROMISED * wanted


@given(wanted=st.floats(0.3, 0.95), stairs=st.integers(12, 40))
def test_stairs(wanted: float, stairs: int) -> None:
    found = search(wanted, lambda share: math.ceil(share * stairs) / stairs)
    assert found.best is not None and abs(found.best.ratio - wanted) <= max(PROMISED * wanted, 1 / stairs)


def test_a_stair_that_is_too_high_ends_below() -> None:
    """0.6 lies between 0.3 and 0.9."""
    found = search(0.6, lambda share: 0.9 if share > 0.5 else 0.3)
    assert found.best is not None and found.best.ratio == 0.3


def test_choices_that_are_few() -> None:
    found = search(0.6, lambda share: share, least=0.25, steps=4)
    assert found.best is not None and found.best.ratio == 0.5
    assert sorted(probe.choice for probe in found.probes) == [2, 3]


@pytest.mark.parametrize("floor", [0.4, 0.89])
def test_what_cannot_be_met_was_tried_with_the_least(floor: float) -> None:
    found = search(0.3, lambda share: floor + (1 - floor) * share, least=0.1)
    assert found.best is None
    assert min(probe.choice for probe in found.probes) == 10


@given(
    wanted=st.floats(0.3, 0.95),
    noise=st.lists(st.floats(-0.02, 0.02), min_size=MOST, max_size=MOST),
)
def test_noise(wanted: float, noise: list[float]) -> None:
    left = iter(noise)
    found = search(wanted, lambda share: share + next(left))
    assert found.best is not None and abs(found.best.ratio - wanted) <= PROMISED * wanted
