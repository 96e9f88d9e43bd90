"""The same artifact for an AArch64 board, in QEMU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgecompile.artifact.artifact import Artifact
from edgecompile.artifact.open import open
from edgecompile.errors import InvalidArtifactError, RuntimeFailureError, WrongMachineError
from edgecompile.target import find_target
from tests.artifact import tiny
from tests.artifact.tiny import SHIFT, X

pytestmark = pytest.mark.board


@pytest.fixture(scope="module")
def board_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = find_target("rpi4")
    folder = tmp_path_factory.mktemp("rpi4")
    tiny.link(target, folder / "linked")
    tiny.write(folder / "net", folder / "linked", target=target)
    return folder / "net"


@pytest.fixture(scope="module")
def board(board_folder: Path) -> Iterator[Artifact]:
    with open(board_folder, emulate=True) as artifact:
        yield artifact


def test_it_answers_as_the_host_does(board: Artifact) -> None:
    samples = [X, X + 1, X * 2]
    for outputs, x in zip(board.run_many([(x, SHIFT) for x in samples]), samples, strict=True):
        for found, wanted in zip(outputs, tiny.expected(x, SHIFT), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_verify_and_bench(board: Artifact) -> None:
    assert board.verify().ok
    stats = board.bench(repeat=3, warmup=1, threads=2)
    assert stats.is_emulated
    assert stats.machine == "emulated by qemu-aarch64 -cpu cortex-a72"
    assert stats.min_ms <= stats.median_ms <= stats.p99_ms
    assert (stats.repeat, stats.threads, stats.mean_ms) == (3, 2, None)


def test_step_times_are_refused(board: Artifact) -> None:
    with pytest.raises(RuntimeFailureError, match="need the device itself"):
        board.profile()


def test_failures_arrive_as_one_line(board: Artifact) -> None:
    with pytest.raises(RuntimeFailureError, match="failure 7"):
        board.run(X, np.full_like(SHIFT, 2**31 - 1))


def test_without_the_emulator_it_is_refused(board_folder: Path) -> None:
    with pytest.raises(WrongMachineError, match=r"built for rpi4 .*; qemu-aarch64 can run it: emulate=True"):
        open(board_folder)


def test_a_changed_library_is_not_emulated(board_folder: Path, tmp_path: Path) -> None:
    tiny.write(tmp_path / "net", board_folder.parent / "linked", target=find_target("rpi4"))
    library = tmp_path / "net/libtiny.so"
    data = bytearray(library.read_bytes())
    data[-1] ^= 1
    library.write_bytes(data)
    with pytest.raises(InvalidArtifactError, match=r"libtiny.so was changed"):
        open(tmp_path / "net", emulate=True)
