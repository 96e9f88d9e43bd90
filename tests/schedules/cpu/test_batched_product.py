"""Products of matrices that are both computed at run time, against NumPy in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from edgecompile.target import find_target
from schedules.cpu import CpuImplementations, Template
from schedules.cpu.batched_product import choose_tile
from schedules.cpu.implementations import EMITTERS
from targets.cpu.object_code import tvm_target

SIZES = [1, 7, 13, 17, 31, 50]


@pytest.mark.parametrize("target_name", ["host", "host,vector_bytes=16,features=asimd"])
@pytest.mark.parametrize(("rows", "inner", "columns"), list(itertools.product(SIZES, repeat=3))[::9])
def test_odd_sizes(rows: int, inner: int, columns: int, target_name: str) -> None:
    target = find_target(target_name)
    (way,) = CpuImplementations(target.cpu).batched_products(rows, inner, columns)
    batch = (2, 3)
    rng = np.random.default_rng(0)
    a = rng.standard_normal((*batch, rows, inner), np.float32)
    w = rng.standard_normal((*batch, inner, columns), np.float32)
    left, right = (te.placeholder([tirx.IntImm("int64", n) for n in array.shape]) for array in (a, w))
    result = way.compute(left, right)
    scaled = te.compute(result.shape, lambda *i: result[i] * tirx.const(0.5))
    function = te.create_prim_func([left, right, scaled]).with_attr("global_symbol", "main")
    schedule = Template(EMITTERS).apply(function.with_attr("tirx.noalias", True), target)
    assert schedule is not None
    out = np.full((*batch, rows, columns), np.nan, np.float32)
    tensors = [tvm.runtime.tensor(array) for array in (a, w, out)]
    tvm.compile(schedule.mod, target=tvm_target(target))["main"](*tensors)
    expected = a.astype(np.float64) @ w.astype(np.float64) * 0.5
    np.testing.assert_allclose(tensors[-1].numpy(), expected, rtol=0, atol=1e-5)


def test_a_panel_beyond_the_stack_is_refused() -> None:
    facts = find_target("host").cpu
    assert choose_tile(8, 100_000, 64, facts) is None
    assert not CpuImplementations(facts).batched_products(8, 100_000, 64)
