"""The peak is one that this machine can have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgecompile.errors import ToolchainError
from scripts.bench import peak
from scripts.bench.peak import measure_peak


def test_every_core_adds_its_share() -> None:
    cores = tuple(sorted(os.sched_getaffinity(0)))
    one, every = measure_peak(cores[:1]), measure_peak(cores)
    assert one.gflops is not None and every.gflops is not None
    # A core of 0.5 GHz with one 128-bit unit, and one of 6 GHz with two units of 512 bits.
    assert 2 < one.gflops < 400
    assert every.gflops >= one.gflops * 0.5 * len(cores)  # the best of many tries: half even on a busy machine
    if "avx2" in Path("/proc/cpuinfo").read_text():
        assert one.vectors in ("AVX2", "AVX-512")


def test_without_a_compiler_the_reason_stands_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_toolchain(target: object) -> None:
        raise ToolchainError("needs a C compiler")

    monkeypatch.setattr(peak, "find_toolchain", find_toolchain)
    assert measure_peak((0,)) == peak.Peak(None, "needs a C compiler")
