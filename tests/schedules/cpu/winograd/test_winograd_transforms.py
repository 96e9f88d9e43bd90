"""Pairs of rows and columns, and products with matrices of all kinds against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import ir, tirx

from edgecompile.target import find_target
from schedules.cpu import loops
from schedules.cpu.winograd.matrices import POINTS, transforms
from schedules.cpu.winograd.transforms import both_sides, opposite_rows
from targets.cpu.object_code import tvm_target

LANES = 4


@pytest.mark.parametrize("outputs", POINTS)
def test_every_pair_of_points_is_a_pair_of_rows_and_columns(outputs: int) -> None:
    pairs = [(at, at + 1) for at in range(1, outputs, 2)]
    assert opposite_rows(transforms(outputs).input) == opposite_rows(transforms(outputs).output.T) == pairs


@pytest.mark.parametrize(
    ("rows", "pairs"),
    [
        ([[1, 2], [1, 2]], []),  # the same row twice: nothing is opposite
        ([[1, 2], [-1, -2]], []),
        ([[1, 2, 0], [1, -2, 0]], [(0, 1)]),
        ([[1, 2], [1, -2], [-1, 2]], [(0, 1)]),
        ([[1, 2], [1, 3]], []),
    ],
)
def test_what_is_a_pair(rows: list[list[int]], pairs: list[tuple[int, int]]) -> None:
    assert opposite_rows(np.array(rows)) == pairs


MATRICES = {
    "rows in pairs": [[2, 0, 3], [1, 2, -3], [1, -2, -3]],
    "columns in pairs": [[1, 1, 0, 5], [2, -2, 1, 0]],
    "no pairs": [[1, 2, 3], [4, 5, 6]],
    **{f"B^T {outputs}": transforms(outputs).input for outputs in POINTS},
    **{f"A^T {outputs}": transforms(outputs).output for outputs in POINTS},
}


@pytest.mark.parametrize("name", MATRICES)
def test_both_sides(name: str) -> None:
    matrix = np.array(MATRICES[name], np.float64)
    rows, size = matrix.shape
    x = tirx.decl_buffer([loops.index(extent) for extent in (size, size, LANES)], "float32", "x")
    y = tirx.decl_buffer([loops.index(extent) for extent in (rows, rows, LANES)], "float32", "y")
    statements = both_sides(
        matrix,
        lambda i, j: lambda lane: loops.load(x, [i, j, lane]),
        lambda r, s, value: loops.vector(LANES, lambda lane: loops.store(y, value(lane), [r, s, lane])),
        LANES,
        "float32",
    )
    function = tirx.PrimFunc([x, y], loops.sequence(statements), ret_type=ir.PrimType("void"))
    compiled = tvm.compile(function.with_attr("global_symbol", "main"), target=tvm_target(find_target("host")))
    given = np.random.default_rng(0).standard_normal((size, size, LANES), np.float32)
    tensors = [tvm.runtime.tensor(array) for array in (given, np.full((rows, rows, LANES), np.nan, np.float32))]
    compiled["main"](*tensors)
    expected = np.einsum("ri,ijl,sj->rsl", matrix, given.astype(np.float64), matrix)
    np.testing.assert_allclose(tensors[1].numpy(), expected, rtol=0, atol=1e-6 * np.abs(matrix).sum(axis=1).max() ** 2)
