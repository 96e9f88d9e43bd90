"""Integer Winograd's code for ARM, in the emulator: the bits of NumPy."""

from __future__ import annotations

import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from tests.schedules.cpu.integer_kernels import check


@pytest.mark.board
@pytest.mark.parametrize("name", ["rpi4", "armv7-neon"])
def test_convolutions_on_a_board(name: str) -> None:
    target = find_target(name)
    check(Convolution(1, 24, 20, 7, 9, (3, 3), padding=(1, 0, 2, 1)), target, -11, name="conv2d_int8_winograd F(2")
    check(Convolution(2, 32, 16, 5, 6, (3, 3), padding=(1, 1, 1, 1)), target, 127, name="conv2d_int8_winograd F(4")
