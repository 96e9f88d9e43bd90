"""A disk that fills up while an artifact is written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from tests.cli.test_program import PROGRAM


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of a few KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "tmpfs", str(disk)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no mounts")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
# Too small for the code, for the library, for all files; a dynamic model's library has all in it.
@pytest.mark.parametrize(
    ("small_disk", "length"), [(4, 64), (12, 64), (40, 64), (4, "n"), (12, "n")], indirect=["small_disk"]
)
def test_a_full_disk_is_one_line(small_disk: Path, length: int | str, tmp_path: Path, repository: Path) -> None:
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [length]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Erf", ["x"], ["y"])], "graph", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    done = subprocess.run(
        [*PROGRAM, "compile", str(tmp_path / "m.onnx"), "-o", str(small_disk / "net")],
        capture_output=True,
        text=True,
        check=False,
        cwd=repository,
    )
    line = done.stderr.splitlines()[-1]
    assert all(before.startswith("warning: ") for before in done.stderr.splitlines()[:-1])
    assert done.returncode == 2
    assert line.startswith("error: ")
    assert "No space left on device" in line or "more disk space" in line
    assert "bug" not in line
    assert list(small_disk.iterdir()) == []
