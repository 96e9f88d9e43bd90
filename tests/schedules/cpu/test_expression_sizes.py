"""Inlining stops before expressions grow exponentially."""

from __future__ import annotations

from collections.abc import Callable

import tvm
from tvm import te, tirx
from tvm_ffi.structural import structural_walk

from schedules.cpu.expression_sizes import MOST_NODES
from schedules.cpu.loop_nest import inline_elementwise


def square(value: te.Tensor, name: str) -> te.Tensor:
    return te.compute(value.shape, lambda i, j: value(i, j) * value(i, j), name=name)


def tanh(value: te.Tensor, name: str) -> te.Tensor:
    return te.compute(value.shape, lambda i, j: tirx.tanh(value(i, j)), name=name)


def chain(links: int, stage: Callable[[te.Tensor, str], te.Tensor]) -> tvm.tirx.PrimFunc:
    """`links` elementwise stages one after the other."""
    x = te.placeholder((4, 8), name="x")
    value = x
    for index in range(links):
        value = stage(value, f"stage{index}")
    return te.create_prim_func([x, value])


def loads(schedule: tvm.s_tir.Schedule) -> int:
    found: list[tvm.ir.TensorLoad] = []
    structural_walk(schedule.mod["main"].body, (tvm.ir.TensorLoad, found.append))
    return len(found)


def test_short_chains_become_one_stage() -> None:
    schedule = tvm.s_tir.Schedule(chain(3, square))
    inline_elementwise(schedule)
    assert loads(schedule) == 2**3


def test_long_chains_are_cut_into_stages() -> None:
    schedule = tvm.s_tir.Schedule(chain(14, square))
    inline_elementwise(schedule)
    assert loads(schedule) < 2 * MOST_NODES < 2**14


def test_tanh_counts_the_copies_that_its_lowering_makes() -> None:
    schedule = tvm.s_tir.Schedule(chain(12, tanh))
    inline_elementwise(schedule)
    stages = schedule.get_child_blocks(schedule.get_sblock("root"))
    assert len(stages) >= 3  # all in one, the innermost argument would be computed 5^12 times
