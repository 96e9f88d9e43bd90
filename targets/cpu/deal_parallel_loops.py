"""Parallel loops dealt out evenly.

TVM gives every task the same number of rounds, rounded up: of 14 rounds in 8 tasks, seven tasks get two and the last
none, so that of two threads one does 8 rounds and the other 6. Here each task's rounds begin where its share of all
begins, which differs by at most one round, and any run of neighbouring tasks has its share too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tvm

TASKS_PER_CORE = 4  # as many as the runtime's pool makes per thread


def deal_parallel_loops(body: tvm.tirx.Stmt, cores: int) -> tvm.tirx.Stmt:
    """`for i in parallel(n)` -> `for task in parallel(t): for i in range(task * n // t, (task + 1) * n // t)`.

    Args:
        cores: t is a few tasks for each; loops of fewer rounds, and of a number that is not known, stay.
    """
    from tvm import ir, tirx
    from tvm_ffi.structural import structural_mutate

    tasks = TASKS_PER_CORE * cores

    def on_loop(loop: tirx.For, mutator: Any) -> tirx.Stmt:
        inside = mutator.default_mutate(loop)
        if loop.kind != tirx.ForKind.PARALLEL or not isinstance(loop.extent, tirx.IntImm):
            return inside
        rounds = int(loop.extent)
        if rounds <= tasks:
            return inside
        dtype = str(loop.extent.ty.dtype)
        task, place = (tirx.Var(name, ir.PrimType(dtype)) for name in ("task", "round"))
        count, share = tirx.IntImm(dtype, rounds), tirx.IntImm(dtype, tasks)
        first = tirx.floordiv(task * count, share)
        extent = tirx.floordiv((task + 1) * count, share) - first
        if rounds % tasks == 0:
            extent = tirx.IntImm(dtype, rounds // tasks)
        body = _substituted(inside.body, loop.loop_var, first + place + loop.min)
        zero = tirx.IntImm(dtype, 0)
        dealt = tirx.For(place, zero, extent, tirx.ForKind.SERIAL, body)
        return tirx.For(task, zero, share, tirx.ForKind.PARALLEL, dealt)

    return structural_mutate(body, ((tirx.For, on_loop),))


def _substituted(body: tvm.tirx.Stmt, variable: tvm.tirx.Var, value: tvm.ir.Expr) -> tvm.tirx.Stmt:
    from tvm import tirx
    from tvm_ffi.structural import structural_mutate

    def on_variable(found: tirx.Var, mutator: Any) -> Any:
        del mutator
        return value if found.same_as(variable) else found

    return structural_mutate(body, ((tirx.Var, on_variable),))
