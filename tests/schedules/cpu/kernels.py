"""One kernel by its template."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tvm
from tvm import te, tirx

from edgecompile.passes.layouts.blocked_tensors import blocked_shape
from edgecompile.target import Target
from schedules.cpu import Template
from schedules.cpu.implementations import EMITTERS
from targets.cpu.object_code import tvm_target


def run_with_epilogue(
    compute: Callable[..., te.Tensor], arrays: Sequence[np.ndarray], residual: np.ndarray, target: Target
) -> np.ndarray:
    """`max(compute(*arrays), residual) * residual`, `[N, C, H, W]`, by the template that annotated the formula.

    Args:
        compute: makes a tensor `[N, C/b, H, W, b]`.
        residual: `[N, C, H, W]`.
    """
    sources = [
        te.placeholder([tirx.IntImm("int64", n) for n in array.shape], str(array.dtype), name=f"x{at}")
        for at, array in enumerate(arrays)
    ]
    result = compute(*sources)
    other = te.placeholder(result.shape, name="residual")
    final = te.compute(result.shape, lambda *i: tirx.max(result[i], other[i]) * other[i])
    function = te.create_prim_func([*sources, other, final])
    function = function.with_attr("global_symbol", "main").with_attr("tirx.noalias", True)
    schedule = Template(EMITTERS).apply(function, target)
    assert schedule is not None
    compiled = tvm.compile(schedule.mod, target=tvm_target(target))
    out = np.full([int(extent) for extent in result.shape], np.nan, np.float32)
    blocked = to_blocks(residual, int(result.shape[4]))
    tensors = [tvm.runtime.tensor(np.ascontiguousarray(array)) for array in (*arrays, blocked, out)]
    compiled["main"](*tensors)
    return tensors[-1].numpy().transpose(0, 1, 4, 2, 3).reshape(residual.shape)


def to_blocks(array: np.ndarray, block: int) -> np.ndarray:
    """`[N, C, H, W]` -> `[N, C/b, H, W, b]`."""
    n, blocks, h, w, b = blocked_shape(array.shape, block)
    return np.ascontiguousarray(array.reshape(n, blocks, b, h, w).transpose(0, 1, 3, 4, 2))
