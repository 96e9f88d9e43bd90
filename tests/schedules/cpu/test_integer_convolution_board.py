"""The integer convolution's code for ARM, in the emulator: the bits of NumPy."""

from __future__ import annotations

import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from schedules.cpu.integer_ways import dot_products
from tests.schedules.cpu.integers import check, check_product

PROBLEMS = [
    Convolution(1, 16, 20, 7, 9, (3, 3), (1, 1), (1, 1, 1, 1)),
    Convolution(1, 13, 31, 9, 7, (5, 2), (2, 1), (2, 0, 1, 3), (1, 2)),
    Convolution(2, 40, 48, 5, 3),
]


@pytest.mark.board
@pytest.mark.parametrize(("name", "instruction"), [("rpi5", "sdot"), ("rpi4", "smull"), ("armv7-neon", "smlal")])
def test_convolutions_on_a_board(name: str, instruction: str) -> None:
    target = find_target(name)
    assert dot_products(target.cpu)[0].name == instruction
    for problem in PROBLEMS:
        check(problem, target, -11)
    check(Convolution(1, 3, 16, 11, 13, (3, 3), (2, 2), (1, 1, 1, 1)), target, 7, in_block=4)
    check_product((2, 3), 77, 10, target, 5)


def test_weights_of_all_bytes_need_wider_products() -> None:
    """Two products of -128 by -128 are one more than 16 bits hold."""
    offered = CpuImplementations(find_target("rpi4").cpu)
    (fast,), (wide,) = (offered.integer_convolutions(PROBLEMS[0], 0, 16, lowest) for lowest in (-127, -128))
    assert "smull" in fast.name and "smlal" in wide.name
