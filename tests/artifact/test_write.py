"""Writing: whole or not at all, and never over something else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from edgecompile.artifact import write
from edgecompile.artifact.open import read_manifest
from edgecompile.artifact.selftest import SelfTest, encode_npz, read_selftest
from edgecompile.artifact.write import seal, staging, write_file
from edgecompile.errors import InvalidArtifactError, OutputError
from tests.artifact import tiny


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with staging(tmp_path / "a/b/net") as folder:
        (folder / "x").write_text("1")
        assert not (tmp_path / "a/b/net").exists()
    assert names(tmp_path / "a/b") == ["net"]
    assert (tmp_path / "a/b/net").stat().st_mode & 0o777 == 0o777 & ~write._umask()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_nothing_is_left_of_a_failure(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with staging(tmp_path / "a/b/net") as folder:
            (folder / "x").write_text("1")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_a_failure_keeps_the_old_artifact(folder: Path) -> None:
    before = read_manifest(folder)
    with pytest.raises(KeyboardInterrupt), staging(folder):
        raise KeyboardInterrupt
    assert read_manifest(folder) == before
    assert names(folder.parent) == ["net"]


@pytest.mark.parametrize("exchange", [True, False])
def test_an_artifact_is_replaced(
    folder: Path, tiny_library: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(write, "_exchange", lambda first, second: False)
    tiny.write(folder, tiny_library, reference_name="another")
    assert read_manifest(folder).reference_name == "another"
    assert names(folder.parent) == ["net"]


def test_the_old_artifact_comes_back_when_the_second_rename_fails(
    folder: Path, tiny_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".partial":
            raise PermissionError(13, "Permission denied", str(target))
        return rename(self, target)

    monkeypatch.setattr(write, "_exchange", lambda first, second: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match="Permission denied"):
        tiny.write(folder, tiny_library, reference_name="another")
    assert read_manifest(folder).reference_name == "numpy"
    assert names(folder.parent) == ["net"]


def test_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="exists and is not an artifact"), staging(tmp_path / "home"):
        pytest.fail("the block must not run")
    with pytest.raises(OutputError, match="exists and is not a folder"), staging(tmp_path / "home/thesis.txt"):
        pytest.fail("the block must not run")
    assert (tmp_path / "home/thesis.txt").read_text() == "x"
    assert names(tmp_path) == ["home"]


def test_an_empty_folder_is_a_place(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    with staging(tmp_path / "net") as folder:
        (folder / "x").write_text("1")
    assert names(tmp_path / "net") == ["x"]


@pytest.mark.parametrize("out", ["/", "/proc/net-of-nobody/net", "/dev/null/net", "x" * 300])
def test_an_impossible_place_is_named(out: str) -> None:
    with pytest.raises(OutputError), staging(out):
        pytest.fail("the block must not run")


def test_no_room_on_the_disk(tmp_path: Path) -> None:
    """A file-size limit fails a write in the middle, as a full disk does, and needs no mount."""
    script = f"""
import resource, signal, sys
from pathlib import Path
from edgecompile.artifact.write import staging
from edgecompile.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with staging({str(tmp_path / "net")!r}) as folder:
        (folder / "weights.bin").write_bytes(bytes(200_000))
except OutputError as error:
    sys.exit(str(error))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr == f"cannot write {tmp_path / 'net'}: File too large\n"
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk(tmp_path: Path, tiny_library: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine allows no mounts")
    try:
        with pytest.raises(OutputError, match="No space left on device"), staging(disk / "net") as folder:
            (folder / "weights.bin").write_bytes(bytes(100_000))
        assert names(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_killed_writer_leaves_the_old_artifact_whole(folder: Path, tiny_library: Path) -> None:
    script = f"""
import os, signal
from edgecompile.artifact.write import staging
with staging({str(folder)!r}) as folder:
    (folder / "x").write_text("1")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert read_manifest(folder).name == "tiny"
    (abandoned,) = (path for path in folder.parent.iterdir() if path.suffix == ".partial")
    os.utime(abandoned, (0, 0))
    tiny.write(folder, tiny_library)
    assert names(folder.parent) == ["net"]


def test_two_writers_do_not_disturb_each_other(folder: Path, tiny_library: Path) -> None:
    with staging(folder) as first:
        os.utime(first, (0, 0))
        tiny.write(folder, tiny_library)
        assert first.is_dir()
        (first / "manifest.json").write_bytes((folder / "manifest.json").read_bytes())
    assert names(folder) == ["manifest.json"]  # the last one wins, whole


def test_links_are_not_shipped(tmp_path: Path) -> None:
    (tmp_path / "lib").symlink_to("/etc/passwd")
    with pytest.raises(OutputError, match="lib is neither a file nor a folder"):
        seal(tmp_path, tiny.facts())


def test_an_error_about_another_file_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), staging(tmp_path / "net"):
        (tmp_path / "model.onnx").read_bytes()


def test_two_artifacts_from_the_same_facts_are_equal(tmp_path: Path, tiny_library: Path) -> None:
    for name in ("a", "b"):
        tiny.write(tmp_path / name, tiny_library)
        time.sleep(2 if name == "a" else 0)  # zip stamps count in steps of two seconds
    for path in sorted(tmp_path.glob("a/**/*")):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.is_dir() or path.read_bytes() == other.read_bytes()


def test_a_selftest_of_any_dtype_is_read_back() -> None:
    manifest = tiny.facts()
    entry = manifest.inputs[0].model_copy(update={"dtype": "bfloat16", "shape": ()})
    value = np.array(1.5, ml_dtypes.bfloat16)
    bfloat = manifest.model_copy(update={"inputs": (entry,)})
    found = read_selftest(encode_npz({"input/x": value}), bfloat)
    assert found == SelfTest({"x": value}, {}, {})
    assert found.inputs["x"].dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"input/x": tiny.X.T, "input/shift": tiny.SHIFT}, r"float32\[3, 2\], the manifest says x"),
        ({}, "lacks inputs"),
        ({"input/x": tiny.X, "input/shift": tiny.SHIFT, "other": tiny.X}, "'other', which is no input"),
        ({"input/x": tiny.X.astype(np.float64), "input/shift": tiny.SHIFT}, "the manifest says x: float32"),
        ({"input/x": tiny.X, "input/shift": tiny.SHIFT, "compiled/z": tiny.SHIFT}, "only some of the compiled"),
    ],
)
def test_a_selftest_that_does_not_fit_is_refused(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidArtifactError, match=message):
        read_selftest(encode_npz(arrays), tiny.facts())


def test_a_selftest_of_objects_is_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{"input/x": np.array([print], object)})
    with pytest.raises(InvalidArtifactError, match=r"selftest.npz cannot be read"):
        read_selftest(buffer.getvalue(), tiny.facts())


def test_one_file_is_written_whole_or_not(tmp_path: Path) -> None:
    write_file(tmp_path / "x", b"1")
    write_file(tmp_path / "x", b"2")
    assert (tmp_path / "x").read_bytes() == b"2"
    with pytest.raises(OutputError, match="cannot write"):
        write_file(tmp_path / "none/x", b"1")
    assert names(tmp_path) == ["x"]


def test_sealing_again_replaces_the_manifest(folder: Path) -> None:
    (folder / "extra.txt").write_text("1")
    seal(folder, tiny.facts(reference_name="another"))
    manifest = read_manifest(folder)
    assert manifest.reference_name == "another"
    assert "extra.txt" in manifest.files
    assert "manifest.json" not in manifest.files
