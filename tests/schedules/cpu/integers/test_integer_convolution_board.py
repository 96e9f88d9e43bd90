"""The integer convolution's code for ARM, in the emulator: the bits of NumPy."""

from __future__ import annotations

import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from schedules.cpu.integers.ways import dot_products
from tests.schedules.cpu.integer_kernels import check, check_product

PROBLEMS = [
    Convolution(1, 16, 20, 7, 9, (3, 3), (1, 1), (1, 1, 1, 1)),
    Convolution(1, 13, 31, 9, 7, (5, 2), (2, 1), (2, 0, 1, 3), (1, 2)),
    Convolution(2, 40, 48, 5, 3),
]
# Pairs of pixels: odd widths, strides between them, blocks that are no sixteen, a tile of one pixel.
PAIRS = [
    Convolution(1, 32, 16, 3, 7, (3, 3), (1, 1), (1, 1, 1, 1)),
    Convolution(1, 16, 16, 5, 11, (3, 3), (2, 2), (1, 1, 1, 1)),
    Convolution(1, 24, 16, 3, 17, (3, 3), (1, 1), (0, 2, 0, 2), (1, 2)),
]


@pytest.mark.board
@pytest.mark.parametrize(
    ("name", "instruction"), [("armv9", "smmla"), ("rpi5", "sdot"), ("rpi4", "smull"), ("armv7-neon", "smlal")]
)
def test_convolutions_on_a_board(name: str, instruction: str) -> None:
    target = find_target(name)
    assert dot_products(target.cpu)[0].name == instruction
    for problem in PROBLEMS:
        check(problem, target, -11)
    check(Convolution(1, 3, 16, 11, 13, (3, 3), (2, 2), (1, 1, 1, 1)), target, 7, in_block=4)
    check(Convolution(1, 3, 16, 9, 19, (5, 7), (1, 2), (2, 3, 2, 3), (1, 1)), target, 7, in_block=4)
    check_product((2, 3), 77, 10, target, 5)


@pytest.mark.board
@pytest.mark.parametrize("problem", PAIRS, ids=str)
def test_pairs_of_pixels(problem: Convolution) -> None:
    check(problem, find_target("armv9"), 127 if problem.in_channels == 16 else -128)


@pytest.mark.board
@pytest.mark.parametrize(("rows", "inner", "columns"), [((5,), 64, 32), ((3, 3), 70, 33)])
def test_products_of_pairs_of_rows(rows: tuple[int, ...], inner: int, columns: int) -> None:
    check_product(rows, inner, columns, find_target("armv9"), -9)


def test_matrix_products_need_eight_channels_and_two_pixels() -> None:
    offered = CpuImplementations(find_target("armv9").cpu)
    names = [
        offered.integer_convolutions(Convolution(1, channels, 16, 5, 5), 0, channels, -128)[0].name
        for channels in (4, 8, 16)
    ]
    assert ["smmla" in name for name in names] == [False, True, True]
    ways = [offered.integer_products((rows,), Convolution(1, 16, 16, 1, rows), 0, -128)[0] for rows in (1, 2)]
    assert ["smmla" in way.name for way in ways] == [False, True]


def test_weights_of_all_bytes_need_wider_products() -> None:
    """Two products of -128 by -128 are one more than 16 bits hold."""
    offered = CpuImplementations(find_target("rpi4").cpu)
    (fast, *_), (wide, *_) = (offered.integer_convolutions(PROBLEMS[0], 0, 16, lowest) for lowest in (-127, -128))
    assert "smull" in fast.name and "smlal" in wide.name
