"""Comparisons in int8: judged by their answers to the probes, beside a baseline of ours that is no rival."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from scripts.bench.accuracy import Probes, probe_inputs
from scripts.bench.case import Case
from scripts.bench.rounds import Comparison, Row, compare
from tests.scripts.bench import runtimes

_NAMES = ("doubles", "doubles_exactly", "doubles_slowly", "drowned", "two_answers")


@pytest.fixture(scope="module")
def comparison(case: Case) -> Comparison:
    inputs = probe_inputs(case)
    probes = Probes(tuple(inputs), tuple([2.0 * arrays[0].astype(np.float64)] for arrays in inputs))
    loaders = {name: getattr(runtimes, name) for name in _NAMES}
    cores = (max(os.sched_getaffinity(0)),)
    return compare(case, loaders, cores, 1, lambda text: None, probes=probes, baseline="doubles_exactly")


def _row(comparison: Comparison, name: str) -> Row:
    (row,) = (row for row in comparison.rows if row.runtime == name)
    return row


def test_accuracies_and_sizes_are_told(comparison: Comparison, case: Case) -> None:
    row, exact, slow = comparison.rows[:3]
    assert [entry.status for entry in (row, exact, slow)] == ["timed"] * 3, [entry.reason for entry in comparison.rows]
    assert exact.accuracy is not None and exact.accuracy.snr_db == math.inf
    assert row.accuracy is not None and slow.accuracy is not None
    signal = np.mean(np.square([2 * arrays[0] for arrays in probe_inputs(case)]))
    noise = np.mean(np.square(0.02 * np.random.default_rng(0).standard_normal((1, 4))))
    assert row.accuracy.snr_db == pytest.approx(10 * np.log10(signal / noise), abs=1e-3)
    assert slow.accuracy.snr_db == pytest.approx(row.accuracy.snr_db - 20, abs=1e-3)  # ten times the noise
    assert row.model_bytes == 7


def test_the_baseline_is_no_rival(comparison: Comparison) -> None:
    ours, baseline, slow = comparison.rows[:3]
    assert (baseline.median_ms or 0) < (ours.median_ms or 0) < (slow.median_ms or 0)
    assert comparison.best_rival is slow
    assert comparison.ratio_to_float(baseline) == 1
    assert comparison.ratio_to_float(ours) == (ours.median_ms or 0) / (baseline.median_ms or 1)


def test_noise_is_refused(comparison: Comparison) -> None:
    row = _row(comparison, "drowned")
    assert row.status == "refused" and row.accuracy is not None and row.accuracy.snr_db < 0
    assert row.reason == f"the signal is {row.accuracy.snr_db:.1f} dB above the noise, 3 needed"


def test_another_number_of_outputs_is_refused(comparison: Comparison) -> None:
    row = _row(comparison, "two_answers")
    assert row.status == "refused" and "zip() argument" in row.reason
