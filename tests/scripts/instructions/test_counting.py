"""From two counts to one inference, and what is refused on the way."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from edgecompile.errors import RuntimeFailureError, ToolchainError
from edgecompile.target import Target, find_target
from scripts.bench.case import Case
from scripts.instructions.counting import count, per_inference, relative_difference
from scripts.instructions.emulator import Emulator, Executed, read_counts
from scripts.instructions.runtimes import Runtime

HERE, THERE = Path("/here"), Path("/there")


class Stub:
    """A runtime whose program is the emulator below."""

    name, version, library = "stub", "1.2", HERE

    def command(self, runs: int, output: Path) -> list[str]:
        return [str(runs), str(output)]


class Constant:
    """500 instructions of start, 100 for each inference, and always the same answer."""

    def __init__(self, answer: list[float]) -> None:
        self._answer = np.array(answer, np.float32)

    def run(self, arguments: list[str]) -> tuple[Executed, str]:
        self._answer.tofile(arguments[1])
        return Counter({(THERE, 0): 500, (HERE, 4): 100 * int(arguments[0])}), ""


def case(folder: Path) -> Case:
    return Case("tiny", folder, 1000, {"x": np.zeros(1, np.float32)}, (np.array([[0.0, 2.0]], np.float32),))


def load(case: Case, target: Target, folder: Path) -> Runtime:
    return Stub()


def fail(case: Case, target: Target, folder: Path) -> Runtime:
    raise ToolchainError("no such wheel")


def test_the_start_does_not_count(tmp_path: Path) -> None:
    emulator = cast(Emulator, Constant([0.0, 2.001]))
    counted = count("stub", load, case(tmp_path), find_target("rpi5"), emulator, 3, tmp_path)
    assert counted.instructions == 100 and counted.reason == "" and counted.version == "1.2"
    assert counted.difference == pytest.approx(0.0005, rel=1e-3)


@pytest.mark.parametrize(
    ("load", "answer", "reason"),
    [
        (fail, [0.0, 2.0], "no such wheel"),
        (load, [0.0, 2.1], "the answer differs from PyTorch's by 5.0e-02 of its range"),
        (load, [0.0, float("nan")], "the answer differs from PyTorch's by nan of its range"),
        (load, [0.0], "the answer has 1 elements, expected 2"),
    ],
)
def test_what_cannot_be_counted_has_a_reason(load: object, answer: list[float], reason: str, tmp_path: Path) -> None:
    emulator = cast(Emulator, Constant(answer))
    counted = count("stub", load, case(tmp_path), find_target("rpi5"), emulator, 1, tmp_path)  # type: ignore[arg-type]
    assert counted.reason == reason and counted.instructions is None


def test_average_by_place() -> None:
    before: Executed = Counter({(HERE, 0): 10, (HERE, 8): 5})
    after: Executed = Counter({(HERE, 0): 30, (HERE, 8): 5, (THERE, 0): 8})
    assert +per_inference(before, after, 2) == Counter({(HERE, 0): 10, (THERE, 0): 4})


def test_difference_is_relative_to_the_range() -> None:
    expected = np.array([-1.0, 3.0], np.float32)
    assert relative_difference(np.array([-1.0, 3.002], np.float32), expected) == pytest.approx(5e-4, rel=1e-3)
    with pytest.raises(RuntimeFailureError, match=r"1\.0e-02"):
        relative_difference(np.array([-1.0, 3.04], np.float32), expected)


def test_lines_of_one_place_are_added() -> None:
    text = "10 64 /lib/a b.so\n3 64 /lib/a b.so\n7 0 -\n"
    assert read_counts(text) == Counter({(Path("/lib/a b.so"), 64): 13, (Path("-"), 0): 7})
