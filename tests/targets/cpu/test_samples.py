"""The sample apps, built as their comments say, on this machine and for an emulated board."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgecompile.target import Target, find_target
from targets.cpu.emulator import run_program
from tests.runtime import dense

SAMPLES = Path(__file__).parents[3] / "scripts/samples"
BOARDS = ["host", pytest.param("rpi4", marks=pytest.mark.board)]
GNU_PREFIX = {"host": "", "rpi4": "aarch64-linux-gnu-"}


def _check(target: Target, program: Path, built: dense.Built, folder: Path) -> None:
    x = np.random.default_rng(4).standard_normal((1, dense.K)).astype("float32")
    (folder / "x.raw").write_bytes(x.tobytes())
    result = run_program(target, [str(program), str(built.weights), str(folder / "x.raw")], timeout_s=60)
    assert result.returncode == 0, result.stderr
    label, _, values = result.stdout.splitlines()[0].partition(":")
    assert label == "scores"
    np.testing.assert_allclose([float(v) for v in values.split()], dense.expected(x, 0)[0, :8], rtol=1e-4, atol=1e-4)
    assert f"dense on {target.name}: " in result.stdout

    result = run_program(target, [str(program), "-"], timeout_s=60)  # the weights are not embedded
    assert (result.returncode, "set options.weights_path" in result.stderr) == (1, True)
    result = run_program(target, [str(program)], timeout_s=60)
    assert (result.returncode, "usage" in result.stderr) == (2, True)


@pytest.fixture
def artifact(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Target, dense.Built]:
    target = find_target(request.getfixturevalue("board"))
    return target, dense.build(dense.describe("dense", target), tmp_path / "artifact")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("board", BOARDS)
def test_c_sample(board: str, artifact: tuple[Target, dense.Built], tmp_path: Path) -> None:
    target, built = artifact
    program = tmp_path / "sample"
    command = ["make", "-C", str(SAMPLES / "c"), f"ARTIFACT={built.folder}", "NETWORK=dense", f"OUTPUT={program}"]
    command += [f"CC={GNU_PREFIX[board]}gcc", "CFLAGS=-std=c11 -O2 -Wall -Wextra -Werror"]
    subprocess.run(command, check=True, capture_output=True)
    _check(target, program, built, tmp_path)


@pytest.mark.parametrize("board", BOARDS)
def test_cpp_sample(board: str, artifact: tuple[Target, dense.Built], tmp_path: Path) -> None:
    target, built = artifact
    program = tmp_path / "sample"
    defines = ['-DNETWORK_HEADER="dense.h"', "-DNETWORK=dense_network", f"-I{built.folder}/include"]
    command = [f"{GNU_PREFIX[board]}g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *defines]
    command += [str(SAMPLES / "cpp/main.cpp"), str(built.library), f"-Wl,-rpath,{built.folder}", "-o", str(program)]
    subprocess.run(command, check=True)
    _check(target, program, built, tmp_path)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
@pytest.mark.parametrize("board", BOARDS)
def test_cpp_sample_by_cmake(board: str, artifact: tuple[Target, dense.Built], tmp_path: Path) -> None:
    target, built = artifact
    options = [f"-DARTIFACT={built.folder}", "-DNETWORK=dense"]
    if board != "host":
        options += ["-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_CXX_COMPILER={GNU_PREFIX[board]}g++"]
    folder = tmp_path / "build"
    subprocess.run(["cmake", "-S", SAMPLES / "cpp", "-B", folder, *options], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", folder], check=True, capture_output=True)
    _check(target, folder / "sample", built, tmp_path)
