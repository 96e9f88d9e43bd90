"""Opening: whatever is wrong with an artifact, one typed error says so before its code is loaded."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgecompile.artifact.folder import MANIFEST_LIMIT_BYTES, Folder
from edgecompile.artifact.native import NativeExecutor
from edgecompile.artifact.open import open, read_manifest, read_report
from edgecompile.errors import InvalidArtifactError, InvalidInputError, RuntimeFailureError, WrongMachineError
from tests.artifact import tiny

FILES = (
    "manifest.json",
    "libtiny.so",
    "libtiny.a",
    "include/edgecompile.h",
    "include/tiny.h",
    "weights.bin",
    "selftest.npz",
    "report.json",
)


def test_the_list_of_files_is_complete(folder: Path) -> None:
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_noticed(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(InvalidArtifactError, match="compile the model again"):
        open(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_noticed(folder: Path, name: str) -> None:
    os.truncate(folder / name, (folder / name).stat().st_size - 1)
    with pytest.raises(InvalidArtifactError, match="compile the model again"):
        open(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_longer_file_is_noticed(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes() + b"\n")
    with pytest.raises(InvalidArtifactError, match="compile the model again"):
        open(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InvalidArtifactError, match=f"lacks {name}"):
        open(folder)


@pytest.mark.parametrize("name", ["extra.so", "include/extra.h", ".hidden"])
def test_an_added_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("")
    with pytest.raises(InvalidArtifactError, match=f"holds '{name}', which its manifest does not list"):
        open(folder)


def test_an_added_folder_is_named(folder: Path) -> None:
    (folder / "extra/deep").mkdir(parents=True)
    with pytest.raises(InvalidArtifactError, match="holds 'extra', which"):
        open(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_symbolic_link_is_refused_even_to_the_right_bytes(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidArtifactError, match="symbolic link"):
        open(folder)


def test_a_linked_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "include").rename(tmp_path / "elsewhere")
    (folder / "include").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidArtifactError, match=r"lacks include/edgecompile.h"):
        open(folder)


@pytest.mark.parametrize("name", ["manifest.json", "libtiny.so"])
def test_a_named_pipe_neither_blocks_nor_passes(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(InvalidArtifactError, match="no regular file"):
        open(folder)


def test_a_huge_manifest_is_not_read(folder: Path) -> None:
    os.truncate(folder / "manifest.json", MANIFEST_LIMIT_BYTES + 1)
    with pytest.raises(InvalidArtifactError, match="more than the"):
        open(folder)


def test_other_places_are_no_artifacts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, found in (("none", "found nothing"), ("file", "found a file"), ("empty", "it is no artifact")):
        with pytest.raises(InvalidArtifactError, match=found):
            open(tmp_path / name)


def test_another_instruction_set_is_refused(tmp_path: Path, tiny_library: Path) -> None:
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}[tiny.host().architecture]
    tiny.write(tmp_path / "net", tiny_library, target=dataclasses.replace(tiny.host(), architecture=other))
    with pytest.raises(WrongMachineError, match=rf"built for host \({other}\), this machine is"):
        open(tmp_path / "net")
    assert read_manifest(tmp_path / "net").target.architecture == other  # it can still be inspected


@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="the hint names an emulator that is here")
def test_the_emulator_is_suggested(tmp_path: Path, tiny_library: Path) -> None:
    target = dataclasses.replace(tiny.host(), os="android", emulator=("qemu-aarch64",))
    tiny.write(tmp_path / "net", tiny_library, target=target)
    with pytest.raises(
        WrongMachineError, match=r"\(android\), this machine runs linux; qemu-aarch64 can run it: emulate"
    ):
        open(tmp_path / "net")


def test_a_missing_cpu_feature_is_named(tmp_path: Path, tiny_library: Path) -> None:
    host = tiny.host()
    target = dataclasses.replace(host, cpu=dataclasses.replace(host.cpu, features=("warp_drive",)))
    tiny.write(tmp_path / "net", tiny_library, target=target)
    with pytest.raises(WrongMachineError, match="this CPU lacks warp_drive"):
        open(tmp_path / "net")


def evil_library(path: Path, trace: Path) -> None:
    """A library that leaves a trace as soon as it is loaded."""
    source = f'#include <stdio.h>\n__attribute__((constructor)) static void f(void) {{ fopen("{trace}", "w"); }}\n'
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path)]
    subprocess.run(command, input=source, text=True, check=True)


def test_a_changed_library_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    evil_library(folder / "libtiny.so", tmp_path / "trace")
    with pytest.raises(InvalidArtifactError, match=r"libtiny.so has .* bytes, its manifest says"):
        open(folder)
    assert not (tmp_path / "trace").exists()


def test_a_library_exchanged_after_the_check_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    checked = Folder(folder)
    checked.check()
    evil_library(folder / "libtiny.so", tmp_path / "trace")
    with pytest.raises(InvalidArtifactError, match=r"libtiny.so"):
        NativeExecutor(checked, 1)
    assert not (tmp_path / "trace").exists()


def test_weights_exchanged_after_the_check_are_noticed_by_the_library(folder: Path) -> None:
    checked = Folder(folder)
    checked.check()
    (folder / "weights.bin").write_bytes(bytes(tiny.WEIGHTS.nbytes))
    with pytest.raises(InvalidArtifactError, match="weights"):
        NativeExecutor(checked, 1)


def test_a_sealed_library_that_is_no_library(tmp_path: Path, tiny_library: Path) -> None:
    linked = shutil.copytree(tiny_library, tmp_path / "linked")
    (linked / "libtiny.so").write_bytes(b"\x7fELF nonsense")
    tiny.write(tmp_path / "net", linked)
    with pytest.raises(RuntimeFailureError, match=r"libtiny.so cannot be loaded"):
        open(tmp_path / "net")


def test_a_sealed_library_of_something_else(tmp_path: Path, tiny_library: Path) -> None:
    linked = shutil.copytree(tiny_library, tmp_path / "linked")
    evil_library(linked / "libtiny.so", tmp_path / "trace")
    tiny.write(tmp_path / "net", linked)
    with pytest.raises(InvalidArtifactError, match="is no library of edgecompile's"):
        open(tmp_path / "net")


def test_a_manifest_that_is_not_of_its_library(tmp_path: Path, tiny_library: Path) -> None:
    """Buffers are sized by the manifest, so a smaller output there would be overrun."""
    known = tiny.facts().outputs
    tiny.write(tmp_path / "net", tiny_library, outputs=(known[0].model_copy(update={"shape": (1, 1)}), known[1]))
    with pytest.raises(InvalidArtifactError, match="is not the library of this manifest"):
        open(tmp_path / "net")


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_an_odd_number_of_threads_is_refused(folder: Path, threads: int) -> None:
    with pytest.raises(InvalidInputError, match=f"found {threads}"):
        open(folder, threads=threads)


def test_a_report_is_read_on_any_machine(folder: Path) -> None:
    assert read_report(folder) == tiny.report()
