"""The runtime under the compiler's sanitizers, strict warnings on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgecompile.target import Target
from targets.cpu.network import network_source, public_header
from targets.cpu.runtime_objects import INCLUDE_FOLDER, RUNTIME_FOLDER, SOURCE_FOLDER
from tests.runtime import dense

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_stress(host: Target, tmp_path: Path, sanitizer: str) -> None:
    network = dense.describe("dense", host)
    (tmp_path / "network.c").write_text(network_source(network))
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "dense.h").write_text(public_header(network))
    (tmp_path / "weights.bin").write_bytes(dense.constants(0).tobytes())
    renamed = [
        f"-D{symbol}={network.symbol(symbol)}"
        for symbol in ("dense_run", "TVMBackendParallelLaunch", "__TVMBackendParallelLaunch", "ec_internal_step_done")
    ]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    includes = [f"-I{INCLUDE_FOLDER}", f"-I{SOURCE_FOLDER}", f"-I{tmp_path / 'include'}"]
    sources = [*sorted(SOURCE_FOLDER.glob("*.c")), tmp_path / "network.c", Path(__file__).with_name("stress.c")]
    kernels = tmp_path / "kernels.o"
    subprocess.run(
        ["cc", *flags, "-DNAME=dense", *renamed, "-c", dense.SOURCE, "-o", kernels], check=True, capture_output=True
    )
    subprocess.run(
        ["cc", *flags, *STRICT, *includes, *sources, kernels, "-lm", "-pthread", "-o", "stress"],
        cwd=tmp_path,
        check=True,
    )
    result = subprocess.run(
        [tmp_path / "stress", tmp_path / "weights.bin"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (result.returncode, result.stdout) == (0, "stress: ok\n"), result.stderr


def test_runner_compiles_without_warnings(tmp_path: Path) -> None:
    source = RUNTIME_FOLDER / "runner" / "runner.c"
    command = [
        "cc",
        "-std=c11",
        "-D_GNU_SOURCE",
        *STRICT,
        f"-I{INCLUDE_FOLDER}",
        "-c",
        source,
        "-o",
        tmp_path / "runner.o",
    ]
    subprocess.run(command, check=True)
