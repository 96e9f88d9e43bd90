"""Requests for the next weights: they cover the stretch, and only where the cache does not hold it anyway."""

from __future__ import annotations

import math

import pytest
from tvm import ir, tirx
from tvm.sym import Analyzer
from tvm_ffi.structural import structural_walk

from edgecompile.target import find_target
from schedules.cpu import loops
from schedules.cpu.factors import Step
from schedules.cpu.weight_stream import LINE_BYTES, WeightStream

FACTS = find_target("host,l1d_bytes=32768").cpu


def stream_of(tiles: int, steps: int, step_elements: int, dtype: str = "float32") -> WeightStream:
    return WeightStream(loops.local_buffer([2, steps, step_elements], dtype, "weight"), tiles, steps, step_elements)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("tiles", [1, 2, 7, 100])
@pytest.mark.parametrize("steps", [16, 48, 768])
@pytest.mark.parametrize("step_elements", [4, 32, 96])
def test_requests_cover_the_next_stretch(tiles: int, steps: int, step_elements: int, dtype: str) -> None:
    stream = stream_of(tiles, steps, step_elements, dtype)
    places = [stream.place(turn, strip) for turn in range(tiles) for strip in range(steps // stream.strip)]
    asked = {place + line for place in places for line in range(stream.lines)}
    assert asked >= set(range(math.ceil(steps * step_elements * stream.element_bytes / LINE_BYTES)))
    assert len(asked) == len(places) * stream.lines, "a line is asked for twice"


def test_small_weights_need_no_requests() -> None:
    assert not stream_of(7, 64, 16).pays(FACTS)
    assert stream_of(7, 64, 512).pays(FACTS)
    assert not stream_of(7, 64, 64, "int8").pays(FACTS)
    assert stream_of(7, 64, 512, "int8").pays(FACTS)


def test_one_tile_alone_looks_a_little_ahead() -> None:
    """A product with one row reads all its weights once: what is wanted next lies behind what is in use."""
    first, blocks = loops.index(0), 3
    ahead = [int(place) for place in stream_of(1, 4096, 96).begin(first, blocks)]
    assert ahead[:4] == [0, 0, 0, 0] and 0 < ahead[4] * 4 <= FACTS.l1d_bytes // 2
    analyzer = Analyzer()
    for stream in (stream_of(2, 4096, 96), stream_of(1, 16, 32)):
        assert [int(analyzer.simplify(place)) for place in stream.begin(first, blocks)] == [3, 0, 0, 0, 0]


def test_strips_and_what_is_left_behind_them() -> None:
    stream = stream_of(4, 100, 32)
    begin = loops.index(0)
    step = Step((0,), 1, 1, "float32")
    statements = step.repeat(
        100,
        lambda row, c: tirx.const(0.0),
        lambda row, v, factor, c: loops.store(stream.weight, factor, [0, c, v]),
        stream.strip,
        stream.requests([begin] * 3, begin, begin),
    )
    assert [int(statement.extent) for statement in statements] == [100 // stream.strip, 100 % stream.strip]
    calls: list[str] = []
    structural_walk(statements[0], ((ir.Call, lambda call: calls.append(str(call.op.name))),))
    assert calls.count("tirx.call_llvm_intrin") == stream.lines
