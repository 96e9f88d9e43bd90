"""Parallel loops in even shares: every round once, and no task more than one round longer than another."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import te, tirx
from tvm_ffi.structural import structural_equal, structural_walk

from targets.cpu.deal_parallel_loops import TASKS_PER_CORE, deal_parallel_loops


def parallel_increment(rounds: int) -> tirx.PrimFunc:
    """`for i in parallel(rounds): y[i] = x[i] + 1`."""
    x = te.placeholder((rounds,), "float32", "x")
    schedule = tvm.s_tir.Schedule(te.create_prim_func([x, te.compute((rounds,), lambda i: x[i] + 1.0, name="y")]))
    schedule.parallel(schedule.get_loops(schedule.get_sblock("y"))[0])
    return schedule.mod["main"]


def loops_of(body: tirx.Stmt) -> list[tirx.For]:
    """The inner before the outer."""
    found: list[tirx.For] = []
    structural_walk(body, ((tirx.For, found.append),))
    return found


@pytest.mark.parametrize("cores", [1, 2, 3])
@pytest.mark.parametrize("rounds", [14, 16, 100, 1003])
def test_every_round_is_done_once(rounds: int, cores: int) -> None:
    kernel = parallel_increment(rounds)
    dealt = kernel.with_body(deal_parallel_loops(kernel.body, cores))
    x, y = (tvm.runtime.tensor(np.full(rounds, value, np.float32)) for value in (3, np.nan))
    tvm.compile(tvm.IRModule({"main": dealt}), target="llvm")["main"](x, y)
    assert y.numpy().tolist() == [4] * rounds


def test_shares_are_even() -> None:
    kernel = parallel_increment(14)
    inner, outer = loops_of(deal_parallel_loops(kernel.body, 2))
    assert (outer.kind, int(outer.extent)) == (tirx.ForKind.PARALLEL, 2 * TASKS_PER_CORE)
    assert inner.kind == tirx.ForKind.SERIAL
    assert str(inner.extent) == f"({outer.loop_var} + 1) * 14 // 8 - {outer.loop_var} * 14 // 8"


def test_short_and_serial_loops_stay() -> None:
    kernel = parallel_increment(8)
    assert structural_equal(deal_parallel_loops(kernel.body, 2), kernel.body)
    serial = te.create_prim_func([te.placeholder((64,), "float32", "x")])
    assert structural_equal(deal_parallel_loops(serial.body, 2), serial.body)
