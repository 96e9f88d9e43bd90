"""Arithmetic modulo 2^32 against NumPy's, with results far beyond 32 bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import ir, tirx

from edgecompile.target import find_target
from schedules import wrapping
from schedules.cpu import loops
from targets.cpu.object_code import tvm_target

LANES = 8
FACTOR = 0x8E38E38F
CASES: dict[str, tuple[Callable[[ir.Expr, ir.Expr], ir.Expr], Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "add": (wrapping.add, lambda a, b: a + b),
    "subtract": (wrapping.subtract, lambda a, b: a - b),
    "multiply": (lambda a, b: wrapping.multiply(wrapping.add(a, b), FACTOR), lambda a, b: (a + b) * FACTOR),
}


@pytest.mark.parametrize("name", CASES)
def test_wraps_around(name: str) -> None:
    compute, expected = CASES[name]
    a, b, c = (tirx.decl_buffer([loops.index(LANES)], "int32", buffer) for buffer in "abc")
    place = [loops.ramp(0, LANES)]
    statement = loops.store(c, compute(loops.load(a, place), loops.load(b, place)), place)
    function = tirx.PrimFunc([a, b, c], statement, ret_type=ir.PrimType("void")).with_attr("global_symbol", "main")
    module = tvm.compile(function, target=tvm_target(find_target("host")))
    assert " nsw <8 x i32>" not in module.mod.inspect_source("ll")
    given = np.random.default_rng(0).choice(np.array([-(2**31), 2**31 - 1, -5, 2**30], np.int32), (2, LANES))
    tensors = [tvm.runtime.tensor(array) for array in (*given, np.zeros(LANES, np.int32))]
    module["main"](*tensors)
    wide = expected(*given.astype(np.int64).view(np.uint64))
    np.testing.assert_array_equal(tensors[2].numpy(), wide.astype(np.uint32).view(np.int32))
