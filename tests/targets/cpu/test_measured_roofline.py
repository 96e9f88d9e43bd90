"""Peak and bandwidth: measured, kept, and measured again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from edgecompile.errors import RuntimeFailureError
from edgecompile.target import Target, find_target
from targets.cpu import measured_roofline
from targets.cpu.measured_roofline import measure_roofline


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Instead of the program, canned figures; each element is the number of threads that one run was asked for."""
    asked: list[str] = []

    def run_program(target: Target, arguments: list[str], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
        asked.append(arguments[1])
        document = {"flops_per_s": 7e9, "reads": [{"buffer_bytes": 1024, "bytes_per_s": 3e9 + len(asked)}]}
        return subprocess.CompletedProcess(arguments, 0, json.dumps(document), "")

    monkeypatch.setattr(measured_roofline, "run_program", run_program)
    monkeypatch.setenv("EDGECOMPILE_CACHE", str(tmp_path))
    return asked


def test_this_machine(host: Target) -> None:
    found = measure_roofline(host, 2)
    assert found.threads == 2
    assert found.flops_per_s > 1e8  # far below any machine that could run the tests
    assert [read.buffer_bytes for read in found.reads][:2] == [32 * 2**10, 128 * 2**10]
    assert all(read.bytes_per_s > 1e7 for read in found.reads)


@pytest.mark.board
def test_the_program_of_another_architecture() -> None:
    assert measure_roofline(find_target("rpi4"), 1).flops_per_s > 1e6


def test_it_is_measured_once_for_each_number_of_threads(host: Target, runs: list[str]) -> None:
    first = measure_roofline(host, 1)
    assert (first.flops_per_s, first.threads, first.reads[0].bytes_per_s) == (7e9, 1, 3e9 + 1)
    assert measure_roofline(host, 1) == first
    assert measure_roofline(host, 2).threads == 2
    assert runs == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("host,vector_bytes=64,features=avx512f:avx512_vnni:sse4_1", 4),  # vpdpbusd: 64 products, vfmadd231ps: 16
        ("host,vector_bytes=32,features=avx2:fma:sse4_1", 2),  # vpmaddwd: 16, vpmaddubsw and vpmaddwd: 32; 8
        ("rpi4", 2),  # smull and smlal: 8 each, fmla: 4
        ("rpi5", 4),  # sdot: 16
        ("armv9", 8),  # smmla: 32
    ],
)
def test_the_peak_of_bytes_follows_from_the_instructions(name: str, times: float, runs: list[str]) -> None:
    target = find_target(name)
    first = measure_roofline(target, 1)
    assert first.int8_ops_per_s == pytest.approx(7e9 * times)
    assert measure_roofline(target, 1) == first  # from the cache


def test_it_is_measured_again_where_asked(host: Target, runs: list[str]) -> None:
    measure_roofline(host, 1)
    second = measure_roofline(host, 1, again=True)
    assert second.reads[0].bytes_per_s == 3e9 + 2
    assert measure_roofline(host, 1) == second
    assert runs == ["1", "1"]


@pytest.mark.parametrize("content", ["", "{}", '{"threads": 1, "flops_per_s": -1, "reads": []}', "\0"])
def test_a_damaged_cache_is_measured_again(host: Target, runs: list[str], tmp_path: Path, content: str) -> None:
    measure_roofline(host, 1)
    (kept,) = (tmp_path / "roofline").glob("*.json")
    kept.write_text(content)
    assert measure_roofline(host, 1).reads[0].bytes_per_s == 3e9 + 2


def test_failures_are_typed(host: Target, runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 2, "", "roofline: no thread\n")

    monkeypatch.setattr(measured_roofline, "run_program", fail)
    with pytest.raises(RuntimeFailureError, match="measuring this machine's peak with 3 threads failed: roofline: no"):
        measure_roofline(host, 3)
