"""Conversions between plain and blocked tensors, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from edgecompile.passes.layouts.blocked_tensors import from_blocks, to_blocks
from edgecompile.target import CpuFacts, Target
from schedules.cpu import LayoutConversion
from schedules.cpu.transposed.tile import rounds
from targets.cpu.object_code import tvm_target
from tests.schedules.cpu import kernels

FACTS = {
    "sse": CpuFacts(16, 16, 1, 32 * 1024, 256 * 1024, 2, ()),
    "avx2": CpuFacts(32, 16, 2, 32 * 1024, 512 * 1024, 2, ("avx2",)),
    "avx512": CpuFacts(64, 32, 2, 32 * 1024, 1024 * 1024, 2, ("avx512f",)),
}
SHAPES = [
    ((1, 16, 4, 4), 16),
    ((2, 48, 7, 7), 16),
    ((1, 24, 5, 3), 8),
    ((3, 20, 13, 11), 20),
    ((1, 32, 1, 17), 4),
    ((2, 24, 3, 3), 24),
]


def target(isa: str) -> Target:
    return Target("test", "host_cpu", "x86_64", "linux", "x86_64-linux-gnu", "x86-64", (), FACTS[isa], (), "for tests")


def conversion(shape: tuple[int, ...], block: int, back: bool) -> tirx.PrimFunc:
    n, c, h, w = shape
    extents = (n, c // block, h, w, block) if back else shape
    x = te.placeholder([tirx.IntImm("int64", extent) for extent in extents], name="x")
    function = te.create_prim_func([x, from_blocks(x) if back else to_blocks(x, block)])
    return function.with_attr("global_symbol", "main").with_attr("tirx.noalias", True)


@pytest.mark.parametrize("isa", FACTS)
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(("shape", "block"), SHAPES)
def test_every_element_arrives(isa: str, back: bool, shape: tuple[int, ...], block: int) -> None:
    schedule = LayoutConversion().apply(conversion(shape, block, back), target(isa))
    assert schedule is not None
    compiled = tvm.compile(schedule.mod, target=tvm_target(target("sse")))  # runs anywhere; LLVM splits long vectors
    plain = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    blocked = kernels.to_blocks(plain, block)
    given, expected = (blocked, plain) if back else (plain, blocked)
    out = tvm.runtime.tensor(np.full(expected.shape, np.nan, np.float32))
    compiled["main"](tvm.runtime.tensor(given), out)
    np.testing.assert_array_equal(out.numpy(), expected)


@pytest.mark.parametrize(
    ("shape", "block"),
    [((1, 3, 8, 8), 3), ((1, 6, 8, 8), 6), ((1, 16, 1, 3), 16)],  # no vectors in the block, or in the image
)
def test_what_has_no_vectors_is_left_to_loops(shape: tuple[int, ...], block: int) -> None:
    assert LayoutConversion().apply(conversion(shape, block, False), target("avx2")) is None


def test_other_copies_are_left_to_loops() -> None:
    x = te.placeholder([tirx.IntImm("int64", n) for n in (1, 16, 4, 4)], name="x")

    def copy(place: str) -> tirx.PrimFunc:
        places = {
            "other order": lambda n, c, h, w, lane: x[n, lane * 2 + c, h, w],
            "other pixels": lambda n, c, h, w, lane: x[n, c * 8 + lane, w, h],
        }
        return te.create_prim_func([x, te.compute((1, 2, 4, 4, 8), places[place])])

    assert LayoutConversion().apply(copy("other order"), target("avx2")) is None
    assert LayoutConversion().apply(copy("other pixels"), target("avx2")) is None
    doubled = te.compute((1, 2, 4, 4, 8), lambda n, c, h, w, lane: x[n, c * 8 + lane, h, w] * 2)
    assert LayoutConversion().apply(te.create_prim_func([x, doubled]), target("avx2")) is None


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_rounds_transpose(lanes: int) -> None:
    square = np.arange(lanes * lanes).reshape(lanes, lanes)
    rows = square
    for moves in rounds(lanes):
        rows = np.stack([np.concatenate([rows[a], rows[b]])[picks] for a, b, picks in moves])
    np.testing.assert_array_equal(rows, square.T)
    assert len(rounds(lanes)) == lanes.bit_length() - 1
