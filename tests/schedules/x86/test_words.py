"""Sums scaled as floats against the definition in 64 bits: the ends of multipliers and shifts, and the largest sums."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import ir, tirx

from edgecompile.integer.requantization import LEAST_SHIFT, NARROW_LIMIT, scale_array
from edgecompile.target import find_target
from schedules.cpu import loops
from schedules.x86.words import Words, has_fused_products, has_words
from targets.cpu.object_code import tvm_target

ZERO_POINT = -128
SCALES = [(2**14 + 1, LEAST_SHIFT), (2**15 - 1, LEAST_SHIFT), (20001, 25), (2**15 - 1, 46), (0, LEAST_SHIFT)]


def kernel(count: int, lanes: int) -> tirx.PrimFunc:
    """`y = zero_point + x * multiplier / 2^(places + 17)`, `count` int32 each, by the instructions."""
    x, y, multiplier, places = (
        tirx.decl_buffer([loops.index(extent)], "int32", name)
        for name, extent in (("x", count), ("y", count), ("m", lanes), ("p", lanes))
    )
    words, whole = Words(lanes), [loops.ramp(0, lanes)]

    def body(at: loops.Expr) -> list[tirx.Stmt]:
        place = [loops.ramp(at * lanes, lanes)]
        scale = words.float_scale(loops.load(multiplier, whole), loops.load(places, whole))
        return [loops.store(y, words.scaled_as_floats(loops.load(x, place), scale, ZERO_POINT), place)]

    statement = loops.serial(count // lanes, body)
    function = tirx.PrimFunc([x, y, multiplier, places], statement, ret_type=ir.PrimType("void"))
    return function.with_attr("global_symbol", "main")


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_scaled_as_floats(lanes: int) -> None:
    target = find_target("host")
    if not (has_words(target.cpu, lanes) and has_fused_products(target.cpu)):
        pytest.skip(f"this machine has no such vectors of {lanes} sums")
    rng = np.random.default_rng(0)
    most = NARROW_LIMIT - 1
    x = rng.integers(-most, most + 1, 2**20, dtype=np.int32)
    x[: 2**19] >>= rng.integers(0, 23, 2**19, dtype=np.int32)
    x[:5] = [most, -most, 0, 1, -1]
    run = tvm.compile(kernel(len(x), lanes), target=tvm_target(target))
    for multiplier, shift in SCALES:
        tables = [np.full(lanes, n, np.int32) for n in (multiplier, shift - LEAST_SHIFT)]
        y = tvm.runtime.tensor(np.zeros_like(x))
        run(tvm.runtime.tensor(x), y, *map(tvm.runtime.tensor, tables))
        expected = np.clip(scale_array(x, np.array(multiplier), np.array(shift)) + ZERO_POINT, -128, 127)
        np.testing.assert_array_equal(np.clip(y.numpy(), -128, 127), expected)


def test_a_short_scale_keeps_narrow_sums_where_floats_are_one_apart() -> None:
    """Between 2^23 and 2^24, zero points included."""
    largest = NARROW_LIMIT * (2**15 - 1) / 2**LEAST_SHIFT + 128
    assert 1.5 * 2**23 - largest >= 2**23 and 1.5 * 2**23 + largest < 2**24
