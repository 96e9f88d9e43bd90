"""A library must refuse a CPU that lacks what its kernels use, before any of them runs."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgecompile.target import Target, find_target
from targets.cpu.emulator import emulator_command
from targets.cpu.runner import build_runner
from tests.runtime import dense
from tests.runtime import library as api
from tests.runtime.library import Library


def _with_features(target: Target, *features: str) -> Target:
    return dataclasses.replace(target, cpu=dataclasses.replace(target.cpu, features=tuple(sorted(features))))


def test_refusal_names_the_feature(host: Target, tmp_path: Path) -> None:
    target = _with_features(host, "no_such_feature")
    built = dense.build(dense.describe("picky", target), tmp_path)
    library = Library(built.library, "picky")
    status, instance = library.open(weights_path=os.fsencode(built.weights))
    assert (status, instance.value) == (api.WRONG_CPU, None)
    assert "needs the CPU feature no_such_feature" in library.last_error


def _run(command: list[str], built: dense.Built, folder: Path) -> subprocess.CompletedProcess[str]:
    samples = folder / "samples"
    samples.write_bytes(bytes(4 * dense.K))
    arguments = [*command, str(build_runner(built.network.target)), str(built.library), built.network.name]
    arguments += [str(samples), str(folder / "out"), "--weights", str(built.weights)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-user")
@pytest.mark.parametrize(("cpu", "lacks"), [("Nehalem", "avx"), ("Haswell,-fma", "fma"), ("max", "avx512f")])
def test_x86_without_the_vectors(host: Target, tmp_path: Path, cpu: str, lacks: str) -> None:
    """QEMU emulates AVX2 from 7.2 on, but no AVX-512."""
    if host.architecture != "x86_64":
        pytest.skip("the host's compiler makes no x86-64 code")
    built = dense.build(dense.describe("wide", _with_features(host, "pni", lacks)), tmp_path)
    result = _run(["qemu-x86_64", "-cpu", cpu], built, tmp_path)
    assert result.returncode == 1, result.stderr
    assert f"needs the CPU feature {lacks}" in result.stderr
    plain = dense.build(dense.describe("plain", _with_features(host, "sse4_2", "pni")), tmp_path / "plain")
    result = _run(["qemu-x86_64", "-cpu", cpu], plain, tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.board
def test_arm_without_the_dot_product(tmp_path: Path) -> None:
    target = find_target("rpi5")
    command = emulator_command(target)
    built = dense.build(dense.describe("dotted", target), tmp_path)
    assert _run(list(command), built, tmp_path).returncode == 0
    weaker = [word.replace("cortex-a76", "cortex-a72") for word in command]
    result = _run(weaker, built, tmp_path)
    assert result.returncode == 1
    assert "needs the CPU feature asimddp" in result.stderr
