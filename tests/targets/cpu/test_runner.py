"""The runner and the emulator: outputs, timings, failures."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from edgecompile.errors import InvalidArtifactError, RuntimeFailureError, ToolchainError
from edgecompile.target import Target, find_target
from targets.cpu import emulator
from targets.cpu.emulator import emulator_command, run_program
from targets.cpu.runner import build_runner, run_library
from tests.runtime import dense


@pytest.fixture
def built(host: Target, tmp_path: Path) -> dense.Built:
    return dense.build(dense.describe("dense", host), tmp_path)


def test_samples_in_outputs_out(host: Target, built: dense.Built) -> None:
    x = np.random.default_rng(2).standard_normal((5, 1, dense.K)).astype("float32")
    result = run_library(host, built.library, "dense", x.tobytes(), weights=built.weights, threads=2, repeat=3)
    y = np.frombuffer(result.outputs, "float32").reshape(5, 1, dense.N)
    np.testing.assert_allclose(y, dense.expected(x, 0), rtol=1e-5, atol=1e-4)
    assert result.runs == 15
    assert 0 < result.min_ns <= result.median_ns <= result.p99_ns < 1e9


def test_runner_is_built_once(host: Target) -> None:
    first = build_runner(host)
    compiled = first.with_name("runner.o").stat().st_mtime_ns
    assert build_runner(host) == first
    assert first.with_name("runner.o").stat().st_mtime_ns == compiled


def test_failures_are_typed(host: Target, built: dense.Built, tmp_path: Path) -> None:
    good = bytes(4 * dense.K)
    with pytest.raises(RuntimeFailureError, match=r"ec_open.*set options.weights_path"):
        run_library(host, built.library, "dense", good)
    with pytest.raises(InvalidArtifactError, match="whole number of samples"):
        run_library(host, built.library, "dense", good[:-1], weights=built.weights)
    with pytest.raises(InvalidArtifactError, match="whole number of samples"):
        run_library(host, built.library, "dense", b"", weights=built.weights)
    with pytest.raises(InvalidArtifactError, match="lacks the symbol: other_network"):
        run_library(host, built.library, "other", good, weights=built.weights)
    with pytest.raises(InvalidArtifactError, match="cannot load the library"):
        run_library(host, tmp_path / "libno.so", "dense", good)
    failing = np.full(dense.K, -1, "float32").tobytes()
    with pytest.raises(RuntimeFailureError, match="a kernel reported failure 9"):
        run_library(host, built.library, "dense", failing, weights=built.weights)


def test_programs_that_hang_crash_or_do_not_start(host: Target) -> None:
    with pytest.raises(RuntimeFailureError, match=r"did not end within 0.2 s"):
        run_program(host, [sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)
    with pytest.raises(RuntimeFailureError, match="died of signal 6"):
        run_program(host, [sys.executable, "-c", "import os; os.abort()"], timeout_s=30)
    with pytest.raises(RuntimeFailureError, match="cannot be started: No such file"):
        run_program(host, ["/no/such/program"], timeout_s=30)
    assert run_program(host, [sys.executable, "-c", "exit(3)"], timeout_s=30).returncode == 3


def test_missing_emulators_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: Target) -> None:
    assert emulator_command(host) == ()
    monkeypatch.setattr(emulator.platform, "machine", lambda: "x86_64")
    board = find_target("rpi4")
    with pytest.raises(ToolchainError, match="need a device with android"):
        emulator_command(find_target("android-arm64"))
    with pytest.raises(ToolchainError, match="names no emulator"):
        emulator_command(dataclasses.replace(board, emulator=()))
    monkeypatch.setitem(emulator._SYSROOTS, "aarch64", tmp_path)
    with pytest.raises(ToolchainError, match=r"apt-get install qemu-user libc6-arm64-cross"):
        emulator_command(board)
    (tmp_path / "lib").mkdir()
    monkeypatch.setattr(emulator.shutil, "which", lambda name: f"/bin/{name}")
    assert emulator_command(board) == ("/bin/qemu-aarch64", "-cpu", "cortex-a72", "-L", str(tmp_path))
    monkeypatch.setattr(emulator.shutil, "which", lambda name: None)
    with pytest.raises(ToolchainError, match=r"needs qemu-aarch64.*apt-get install qemu-user"):
        emulator_command(board)
