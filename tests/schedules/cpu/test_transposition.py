"""Transpositions against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from edgecompile.target import find_target
from schedules.cpu import Transposition
from targets.cpu.object_code import tvm_target

CASES = [
    ((7, 13), (1, 0)),
    ((31, 64), (1, 0)),
    ((4, 4), (1, 0)),
    ((2, 7, 7, 31), (0, 3, 1, 2)),  # pixels outside of channels, and back
    ((2, 31, 7, 7), (0, 2, 3, 1)),
    ((2, 17, 3, 16), (0, 2, 3, 1)),  # the keys of an attention's heads
    ((3, 5, 17), (1, 0, 2)),  # rows are copied
    ((1, 2, 13, 7, 7), (0, 2, 1, 3, 4)),
    ((5, 4, 6, 8), (3, 2, 1, 0)),
    ((2, 3, 5, 7), (2, 3, 0, 1)),
]


def kernel(shape: tuple[int, ...], value: Callable[..., Any], result: tuple[int, ...], dtype: str) -> tirx.PrimFunc:
    x = te.placeholder([tirx.IntImm("int64", extent) for extent in shape], dtype, name="x")
    y = te.compute([tirx.IntImm("int64", extent) for extent in result], lambda *i: value(x, *i))
    return te.create_prim_func([x, y]).with_attr("global_symbol", "main").with_attr("tirx.noalias", True)


def transposition(shape: tuple[int, ...], order: tuple[int, ...], dtype: str = "float32") -> tirx.PrimFunc:
    def value(x: te.Tensor, *indices: Any) -> Any:
        return x(*(indices[order.index(axis)] for axis in range(len(order))))

    return kernel(shape, value, tuple(shape[axis] for axis in order), dtype)


@pytest.mark.parametrize("target", ["host,vector_bytes=64", "host,vector_bytes=32", "host,vector_bytes=16"])
@pytest.mark.parametrize(("shape", "order"), CASES)
def test_every_element_arrives(target: str, shape: tuple[int, ...], order: tuple[int, ...]) -> None:
    schedule = Transposition().apply(transposition(shape, order), find_target(target))
    assert schedule is not None
    compiled = tvm.compile(schedule.mod, target=tvm_target(find_target("host")))
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    out = tvm.runtime.tensor(np.full(x.transpose(order).shape, np.nan, np.float32))
    compiled["main"](tvm.runtime.tensor(x), out)
    np.testing.assert_array_equal(out.numpy(), x.transpose(order))


@pytest.mark.parametrize(
    "function",
    [
        transposition((3, 8), (1, 0)),  # no room for a tile
        transposition((8, 8), (0, 1)),
        transposition((8, 8), (1, 0), "float64"),
        kernel((8, 8), lambda x, i, j: x(j, i) * 2, (8, 8), "float32"),
        kernel((8, 8), lambda x, i, j: x(i, i), (8, 8), "float32"),
        kernel((8, 8), lambda x, i, j: x(7 - j, i), (8, 8), "float32"),
        kernel((8, 9), lambda x, i, j: x(j, i), (8, 8), "float32"),
    ],
)
def test_what_is_something_else_is_left_to_loops(function: tirx.PrimFunc) -> None:
    assert Transposition().apply(function, find_target("host")) is None
