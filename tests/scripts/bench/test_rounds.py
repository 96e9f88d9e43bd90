"""Turns, checks and failures, with stand-ins for the runtimes."""

from __future__ import annotations

import os

import pytest

from scripts.bench.case import Case
from scripts.bench.rounds import Comparison, Row, compare
from tests.scripts.bench import runtimes

CORE = max(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def comparison(case: Case, said: list[str]) -> Comparison:
    """One comparison of every kind of runtime: a process takes half a second to start."""
    chosen = ("slow", "fast", "wrong", "failing", "absent", "crashing")
    return compare(case, {name: getattr(runtimes, name) for name in chosen}, (CORE,), 2, said.append)


def _row(comparison: Comparison, name: str) -> Row:
    (row,) = (row for row in comparison.rows if row.runtime == name)
    return row


def test_every_runtime_has_a_row_in_the_order_asked_for(comparison: Comparison) -> None:
    assert [row.runtime for row in comparison.rows] == ["slow", "fast", "wrong", "failing", "absent", "crashing"]


def test_those_that_answer_right_are_timed(comparison: Comparison) -> None:
    slow, fast = comparison.rows[:2]
    assert (slow.status, slow.version, slow.notes, slow.difference) == ("timed", "2.0", "echo", 0.0)
    assert slow.min_ms is not None and 5 <= slow.min_ms <= (slow.median_ms or 0)
    # Turns are about equally long, so the faster one ran more often.
    assert len(fast.times_ms) > len(slow.times_ms) >= 4


def test_the_ratio_is_ours_to_the_best_rival(comparison: Comparison) -> None:
    ours, rival = comparison.rows[:2]
    assert comparison.ours is ours and comparison.best_rival is rival
    assert comparison.ratio(rival) == 1
    assert comparison.ratio(ours) == (ours.median_ms or 0) / (rival.median_ms or 1) > 1


def test_one_that_answers_wrong_is_refused(comparison: Comparison) -> None:
    row = _row(comparison, "wrong")
    assert row.status == "refused" and row.times_ms == ()
    assert row.difference == pytest.approx(0.01, rel=1e-5)
    assert row.reason == "differs from PyTorch by 1.0e-02 of the range, 1e-03 allowed"


def test_a_missing_one_says_so(comparison: Comparison) -> None:
    assert _row(comparison, "absent").reason == "absent is not installed"


def test_a_crash_shows_status_and_last_words(comparison: Comparison) -> None:
    row = _row(comparison, "crashing")
    assert row.status == "failed"
    assert row.reason == "ended with status 3 during loading the network: something broke"


def test_one_that_fails_in_a_turn_is_left_out_of_the_rest(comparison: Comparison) -> None:
    row = _row(comparison, "failing")
    assert row.status == "failed" and row.reason == "ValueError: out of luck" and row.median_ms is None


def test_progress_names_what_happens(comparison: Comparison, said: list[str]) -> None:
    assert said[0] == "tiny, threads: 1: slow loads" and said[-1] == "tiny, threads: 1: round 2 of 2"
