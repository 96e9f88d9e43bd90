"""In which order ways are measured, and which never are."""

from __future__ import annotations

import pytest

from edgecompile.implementation import Implementation
from edgecompile.tune.contest import Contest, quartiles
from tests.tune.samples import WORKLOAD, way


def play(ways: list[Implementation], ns: dict[str, int]) -> list[str]:
    """Measure every way that the contest gives; their names in order."""
    contest = Contest(WORKLOAD, ways)
    order: list[str] = []
    while taken := contest.take():
        contest.add(taken, ns[taken.name])
        order.append(taken.name)
    return order


def test_own_choices_come_first_and_then_what_promises_most() -> None:
    ways = [
        *(way("a", 100), way("a1", 95, is_variant=True), way("a2", 110, is_variant=True)),
        *(way("b", 120), way("b1", 120, is_variant=True)),
    ]
    # Template b runs faster than counting says, so its variant comes before those of a.
    assert play(ways, {"a": 100, "b": 90, "b1": 90, "a1": 100, "a2": 100}) == ["a", "b", "b1", "a1"]


def test_the_hopeless_are_not_measured() -> None:
    ways = [way("a", 100), way("b", 200), way("b1", 10, is_variant=True)]
    assert play(ways, {"a": 100}) == ["a"]


def test_ways_without_a_key_cannot_be_recorded() -> None:
    nameless = Implementation("n", 1, lambda weight: [weight], lambda x: x)
    contest = Contest(WORKLOAD, [nameless])
    assert contest.take() is None


def test_the_best_and_those_near_it() -> None:
    slow, fast = way("slow", 1), way("fast", 2)
    contest = Contest(WORKLOAD, [slow, fast])
    assert contest.size == 1
    for ns in (100, 900, 101, 102):
        contest.add(slow, ns)
    for ns in (90, 91, 92, 500):
        contest.add(fast, ns)
    assert contest.best_ns == contest.size == pytest.approx(90.75)
    assert contest.estimated_choice_ns == pytest.approx(100.75)
    assert contest.is_near(slow, 1.15)
    assert not contest.is_near(slow, 1.1)


def test_quartiles() -> None:
    assert quartiles([7]) == (7, 7, 7)
    assert quartiles([1, 2, 3, 4, 100]) == (2, 3, 4)
