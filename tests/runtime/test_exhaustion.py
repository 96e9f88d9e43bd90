"""What happens when the system has no more threads or memory to give."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from edgecompile.target import Target
from targets.cpu.runner import build_runner
from tests.runtime import dense

# Far above what the runner itself maps, far below what the cases ask for.
ADDRESS_SPACE_KIB = 300_000


def _run_confined(built: dense.Built, folder: Path, threads: int) -> subprocess.CompletedProcess[str]:
    (folder / "samples").write_bytes(bytes(4 * dense.K))
    runner = build_runner(built.network.target)
    command = [str(runner), str(built.library), "dense", str(folder / "samples"), str(folder / "out")]
    command += ["--weights", str(built.weights), "--threads", str(threads)]
    confined = ["sh", "-c", f'ulimit -v {ADDRESS_SPACE_KIB}; exec "$@"', "sh", *command]
    return subprocess.run(confined, capture_output=True, text=True, timeout=60, check=False)


def test_threads_refused_by_the_system(built: dense.Built, tmp_path: Path) -> None:
    result = _run_confined(built, tmp_path, 1000)
    assert result.returncode == 1
    assert "of 1000 threads" in result.stderr
    assert _run_confined(built, tmp_path, 4).returncode == 0


def test_arena_beyond_memory(host: Target, tmp_path: Path) -> None:
    network = dataclasses.replace(dense.describe("dense", host), arena_bytes=2**40)
    result = _run_confined(dense.build(network, tmp_path), tmp_path, 1)
    assert result.returncode == 1
    assert "no memory for an arena of 1099511627776 bytes" in result.stderr


@pytest.mark.parametrize("kind", ["decoded_bytes", "load_scratch_bytes"])
def test_decoded_weights_beyond_memory(kind: str, host: Target, tmp_path: Path) -> None:
    network, stored = dense.with_stored_weights(dense.describe("dense", host))
    built = dense.build(dataclasses.replace(network, **{kind: 2**40}), tmp_path)
    built.weights.write_bytes(stored)
    result = _run_confined(built, tmp_path, 1)
    assert result.returncode == 1
    assert "bytes of decoded weights, and" in result.stderr and "1099511627776" in result.stderr
