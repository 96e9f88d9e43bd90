"""Where the buffers of a kernel live."""

from __future__ import annotations

import functools
import operator

import tvm
from tvm import te

from targets.cpu.lower_kernels import STACK_BUFFER_BYTES, STACK_BYTES_PER_THREAD, lower_kernels


def _stage(x: te.Tensor, index: int) -> te.Tensor:
    return te.compute(x.shape, lambda i: te.exp(x(i) * float(index + 1)), name=f"stage{index}")


def many_stages(count: int, elements: int) -> tvm.tirx.PrimFunc:
    """`count` intermediate tensors of float32, all alive until the last one is there."""
    x = te.placeholder((elements,), name="x")
    stages = [_stage(x, k) for k in range(count)]
    total = te.compute(x.shape, lambda i: functools.reduce(operator.add, [stage(i) for stage in stages]), name="total")
    return te.create_prim_func([x, total])


def test_one_small_buffer_stays_on_the_stack() -> None:
    kernel = lower_kernels({"k": many_stages(1, 64)}, tvm.target.Target("llvm"))["k"]
    assert kernel.scratch_bytes == 0


def test_small_buffers_that_are_too_many_for_the_stack_go_to_the_arena() -> None:
    count, size = 100, STACK_BUFFER_BYTES - 64
    assert count * size > STACK_BYTES_PER_THREAD
    kernel = lower_kernels({"k": many_stages(count, size // 4)}, tvm.target.Target("llvm"))["k"]
    assert 0 < count * size - kernel.scratch_bytes <= STACK_BYTES_PER_THREAD
