"""Rates, shares and the document."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from scripts.bench.accuracy import Accuracy
from scripts.bench.case import Case
from scripts.bench.peak import Peak
from scripts.bench.results import (
    document,
    gflops,
    peak_percent,
    print_comparison,
    print_int8_comparison,
    print_summary,
)
from scripts.bench.rounds import Comparison, Row

OURS = Row("edgecompile", "timed", version="0.1", notes="plan", difference=1e-7, times_ms=(2.0, 1.0, 4.0))
RIVAL = Row("quick", "timed", version="9", notes="all on", difference=2e-7, times_ms=(0.5,))
BROKEN = Row("broken", "failed", "it is not installed")
PEAK = Peak(4.0, "AVX2")


@pytest.fixture
def comparison(case: Case) -> Comparison:
    return Comparison(case, 1, (OURS, RIVAL, BROKEN), 0.25)


def test_rates_are_those_of_the_median(comparison: Comparison) -> None:
    assert comparison.case.macs == 500_000  # so 1e6 operations, in 2 ms
    assert gflops(comparison, OURS) == pytest.approx(0.5)
    assert peak_percent(comparison, OURS, PEAK) == 12.5
    assert peak_percent(comparison, OURS, Peak(None, "no compiler")) is None
    assert gflops(comparison, BROKEN) is None


def test_without_a_rival_there_is_no_ratio(case: Case) -> None:
    alone = Comparison(case, 1, (OURS, BROKEN), 0.0)
    assert alone.best_rival is None and alone.ratio(OURS) is None


def test_the_table_shows_reasons_and_the_noise(comparison: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(comparison, PEAK)
    print_summary([comparison])
    shown = capsys.readouterr().out
    assert "tiny, threads: 1, peak 4 GFLOP/s (AVX2), other programs took 25% of the cores" in shown
    assert "failed: it is not installed" in shown
    (line,) = (line for line in shown.splitlines() if "edgecompile 0.1" in line)
    assert line.split()[2:7] == ["2.000", "1.000", "4.000", "0.5", "12.500"]
    assert shown.strip().splitlines()[-1].split() == ["tiny", "1", "2.000", "0.5", "quick", "4.000"]


@pytest.fixture
def in_int8(case: Case) -> Comparison:
    ours = dataclasses.replace(OURS, difference=None, accuracy=Accuracy(30.04, None), model_bytes=2_500_000)
    baseline = Row("edgecompile float32", "timed", times_ms=(4.0,), accuracy=Accuracy(math.inf, None), model_bytes=10)
    rival = dataclasses.replace(RIVAL, difference=None, accuracy=Accuracy(20.0, 0.75), model_bytes=1_000_000)
    return Comparison(case, 1, (ours, baseline, rival, BROKEN), 0.25, "edgecompile float32", 0.056)


def test_the_table_of_int8_shows_accuracies_and_the_ratio_to_our_float(
    in_int8: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    print_int8_comparison(in_int8)
    print_summary([in_int8])
    shown = capsys.readouterr().out
    assert "tiny in int8, threads: 1," in shown and "5.6% of the answers' energy differs between inputs" in shown
    (line,) = (line for line in shown.splitlines() if "edgecompile 0.1" in line)
    assert line.split()[2:] == ["2.000", "1.000", "4.000", "0.5", "30.0", "-", "2.500", "plan"]
    (line,) = (line for line in shown.splitlines() if "quick 9" in line)
    assert line.split()[4:10] == ["1.000", "0.125", "20.0", "75.0", "%", "1.000"]
    assert shown.strip().splitlines()[-1].split() == ["tiny", "1", "2.000", "0.5", "quick", "4.000", "0.5"]


def test_the_document_of_int8_has_no_infinities(in_int8: Comparison) -> None:
    written = json.loads(json.dumps(document([in_int8], {}, "int8"), allow_nan=False))
    assert written["precision"] == "int8" and written["peaks"] == {}
    (entry,) = written["comparisons"]
    assert (entry["ratio"], entry["ratio_to_float"], entry["varying_share"]) == (4.0, 0.5, 0.056)
    assert [row["snr_db"] for row in entry["rows"]] == [30.04, None, 20.0, None]
    assert entry["rows"][2]["top1_agreement"] == 0.75 and entry["rows"][2]["ratio_to_float"] == 0.125
    assert entry["rows"][0]["model_bytes"] == 2_500_000 and entry["rows"][0]["peak_percent"] is None


def test_the_document_is_json_with_every_row(comparison: Comparison) -> None:
    written = json.loads(json.dumps(document([comparison], {1: PEAK})))
    (entry,) = written["comparisons"]
    assert (entry["model"], entry["best_rival"], entry["ratio"]) == ("tiny", "quick", 4.0)
    assert [row["status"] for row in entry["rows"]] == ["timed", "timed", "failed"]
    assert entry["rows"][0]["runs"] == 3 and entry["rows"][0]["min_ms"] == 1.0
    assert written["peaks"] == {"1": {"gflops": 4.0, "vectors": "AVX2"}}
