"""Random ONNX graphs agree with ONNX Runtime, through the frontend alone and through the whole compiler.

A longer run: `make fuzz`, or `scripts/fuzz_onnx.py --help`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.executors import compare
from tests.fuzz.graphs import Case, graphs
from tests.fuzz.reference import run_onnxruntime

SEED = "2026"


@pytest.mark.parametrize(("executor", "count"), [("vm", 15), ("compile", 30)])
def test_random_graphs_agree_with_onnx_runtime(executor: str, count: int, repository: Path, tmp_path: Path) -> None:
    """In a process of its own, which has no threads yet when it forks."""
    summary = tmp_path / "summary.json"
    command = [sys.executable, str(repository / "scripts" / "fuzz_onnx.py"), "--executor", executor, "--seed", SEED]
    command += ["--graphs", str(count), "--no-shrink", "--out", str(tmp_path), "--json", str(summary)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(summary.read_text())["verdicts"] == {"agrees": count}, run.stdout


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs(most_nodes=4))
def test_graphs_drawn_by_hypothesis_agree_with_onnx_runtime(case: Case) -> None:
    verdict = compare(case, "compile", run_onnxruntime(case))
    assert verdict.kind == "agrees", verdict
