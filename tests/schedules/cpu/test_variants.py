"""Other numbers than a template's own choice: they compute the same, and records can name each."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation
from edgecompile.target import Target, find_target
from schedules.cpu import CpuImplementations, Template
from schedules.cpu.implementations import EMITTERS
from targets.cpu.object_code import tvm_target
from tests.schedules.cpu.convolutions import check, run

HOST = find_target("host,vector_bytes=32,vector_registers=16")
BOARD = find_target("rpi4")
SAME = (1, 1, 1, 1)
PLAIN = Convolution(1, 32, 48, 7, 13, (3, 3), padding=SAME)
POINTWISE = Convolution(1, 24, 31, 5, 7)
STRIDED = Convolution(2, 16, 40, 9, 11, (3, 3), strides=(2, 2), padding=(0, 1, 1, 0))
DEPTHWISE = Convolution(1, 16, 16, 9, 17, (3, 3), padding=SAME, groups=16)
# Weights beyond half of a second-level cache, so that the loops over panels lie outside.
LARGE = Convolution(1, 256, 64, 4, 5, (3, 3), padding=SAME)


def ways(problem: Convolution, target: Target) -> list[Implementation]:
    offered = CpuImplementations(target.cpu, variants=True)
    return list(offered.convolutions(problem, offered.block(problem.in_channels)))


@pytest.mark.parametrize("problem", [PLAIN, POINTWISE, STRIDED, DEPTHWISE, LARGE])
@pytest.mark.parametrize("target", [find_target("host"), HOST, BOARD])
def test_own_choices_stay_and_variants_follow_them(problem: Convolution, target: Target) -> None:
    own = CpuImplementations(target.cpu)
    chosen = own.convolutions(problem, own.block(problem.in_channels))
    found = ways(problem, target)
    assert [way.key for way in found if not way.is_variant] == [way.key for way in chosen]
    assert not found[0].is_variant
    assert len({way.key for way in found}) == len(found) > len(chosen)
    template = ""
    for way in found:
        written = json.loads(way.key)
        assert set(written) == {"template", "config"}
        template = template if way.is_variant else written["template"]
        assert written["template"] == template


def test_estimates_choose_as_they_did() -> None:
    found = ways(PLAIN, HOST)
    best = min(way.cycles for way in found if not way.is_variant)
    assert best <= 1.01 * min(way.cycles for way in found)


@pytest.mark.parametrize("problem", [PLAIN, POINTWISE, STRIDED, DEPTHWISE, LARGE])
def test_variants_compute_the_same(problem: Convolution) -> None:
    variants = [way for way in ways(problem, HOST) if way.is_variant]
    for way in variants:
        got, expected = run(problem, HOST, way_key=way.key)
        check(got, expected)


def test_products_and_their_batches() -> None:
    offered = CpuImplementations(HOST.cpu, variants=True)
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 7, 17), np.float32), rng.standard_normal((17, 40), np.float32)
    problem = Convolution(1, 17, 40, 1, 14)
    for way in offered.products((2, 7), problem):
        check(multiply(way, x, *way.pack(np.ascontiguousarray(weight.T)[:, :, None, None])), x.astype(float) @ weight)
    batch = rng.standard_normal((2, 17, 40), np.float32)
    for way in offered.batched_products(7, 17, 40):
        check(multiply(way, x, batch), x.astype(float) @ batch)


def multiply(way: Implementation, *operands: np.ndarray) -> np.ndarray:
    """What a way answers."""
    sources = [
        te.placeholder([tirx.IntImm("int64", extent) for extent in array.shape], name=f"x{at}")
        for at, array in enumerate(operands)
    ]
    function = te.create_prim_func([*sources, way.compute(*sources)])
    schedule = Template(EMITTERS).apply(function.with_attr("global_symbol", "main"), HOST)
    assert schedule is not None
    out = tvm.runtime.tensor(np.full((2, 7, 40), np.nan, np.float32))
    tvm.compile(schedule.mod, target=tvm_target(HOST))["main"](*map(tvm.runtime.tensor, operands), out)
    return out.numpy()
