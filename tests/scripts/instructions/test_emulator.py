"""The counting plugin on programs whose instructions are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecompile.errors import InvalidInputError, RuntimeFailureError
from edgecompile.target import find_target
from scripts.instructions.emulator import Emulator
from targets.cpu.toolchain import find_toolchain

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **words) {
  long turns = atol(words[1]);
  char line[200];
  if (turns == 0) { fprintf(stderr, "no turns\n"); return 3; }
  __asm__ volatile("1: subs %0, %0, #1\n nop\n nop\n b.ne 1b" : "+r"(turns) : : "cc");
  FILE *facts = fopen("/proc/cpuinfo", "r");
  while (fgets(line, sizeof line, facts)) fputs(line, stdout);
  return 0;
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("counting")
    (place / "loop.c").write_text(SOURCE)
    find_toolchain(find_target("rpi5")).compile(["-O1", "loop.c", "-o", "loop"], place, "the loop")
    return place


@pytest.fixture(scope="module")
def emulator(folder: Path) -> Emulator:
    return Emulator(find_target("rpi5"), folder)


@pytest.mark.board
def test_more_turns_of_a_loop_are_its_instructions(emulator: Emulator, folder: Path) -> None:
    few, _ = emulator.run([str(folder / "loop"), "1000"])
    many, _ = emulator.run([str(folder / "loop"), "3000"])
    assert many.total() - few.total() == 2000 * 4
    ((path, _),) = {place for place in many if many[place] - few[place] > 7000}
    assert path.resolve() == (folder / "loop").resolve()


@pytest.mark.board
def test_a_program_sees_the_board(emulator: Emulator, folder: Path) -> None:
    _, said = emulator.run([str(folder / "loop"), "1"])
    assert "CPU part\t: 0xd0b" in said and "asimddp" in said


@pytest.mark.board
def test_a_failing_program_is_named(emulator: Emulator, folder: Path) -> None:
    with pytest.raises(RuntimeFailureError, match=r"loop failed in the emulator \(status 3\): no turns"):
        emulator.run([str(folder / "loop"), "0"])


@pytest.mark.parametrize("name", ["host", "android-arm64", "armv7-neon"])
def test_other_targets_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="counted for cortex-a72, cortex-a76 and cores with i8mm, not for"):
        Emulator(find_target(name), tmp_path)
