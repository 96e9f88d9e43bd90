"""Resizing against NumPy in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgecompile.resizing import Axis, Resizing
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from tests.schedules.cpu.convolutions import check
from tests.schedules.cpu.kernels import run_with_epilogue, to_blocks

SIZES = [((1, 1), (5, 3)), ((7, 5), (13, 15)), ((13, 15), (4, 6)), ((8, 14), (8, 28))]


@pytest.mark.parametrize("target", ["host", "host,vector_bytes=32,vector_registers=16", "host,vector_bytes=16"])
@pytest.mark.parametrize("method", ["nearest_neighbor", "linear"])
@pytest.mark.parametrize(
    ("channels", "size"), zip((1, 7, 13, 16, 17, 31, 48), itertools.cycle(SIZES), strict=False), ids=str
)
def test_odd_sizes(channels: int, size: tuple[tuple[int, int], tuple[int, int]], method: str, target: str) -> None:
    (height, width), (out_height, out_width) = size
    rows, columns = (
        Axis(extent, out, method, "half_pixel", "").taps() for extent, out in ((height, out_height), (width, out_width))
    )
    offers = CpuImplementations(find_target(target).cpu)
    block = offers.block(channels)
    problem = Resizing(2, channels, height, width, out_height, out_width, rows[0].shape[1])
    (way,) = offers.resizings(problem, block)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, channels, height, width), np.float32)
    residual = rng.standard_normal((2, channels, out_height, out_width), np.float32)
    tables = [rows[0], columns[0][None], *([rows[1], columns[1][None]] if method == "linear" else [])]
    got = run_with_epilogue(way.compute, [to_blocks(x, block), *tables], residual, find_target(target))
    down = np.einsum("nchaw,ha->nchw", x[:, :, rows[0]].astype(np.float64), rows[1])
    expected = np.einsum("nchwa,wa->nchw", down[:, :, :, columns[0]], columns[1])
    check(got, np.maximum(expected, residual) * residual)


def test_long_lines_are_refused() -> None:
    offers = CpuImplementations(find_target("host").cpu)
    assert not offers.resizings(Resizing(1, 16, 2, 1 << 16, 4, 1 << 17, 2), 16)
    assert offers.resizings(Resizing(1, 16, 2, 1 << 16, 4, 1 << 17, 1), 16)
