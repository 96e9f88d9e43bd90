"""What is decoded when a network is opened, and where it lives."""

from __future__ import annotations

import numpy as np

from edgecompile.plan.constants import ConstantBlobBuilder
from edgecompile.plan.execution_plan import Operand, Origin
from edgecompile.plan.loads import place_loads
from edgecompile.plan.static_program import StaticCall, StaticProgram, Value


def constant(seed: int) -> Value:
    array = np.full(16, seed, np.uint8)
    return Value(array.nbytes, constant=array)


def test_results_that_an_inference_reads_stay_and_others_share_memory() -> None:
    codes = [constant(seed) for seed in range(3)]
    plain, packed, other = Value(100), Value(200), Value(50)
    moved, second = Value(100), Value(200)
    program = StaticProgram(
        loads=[
            StaticCall("a", "decode", (codes[0],), (plain,)),
            StaticCall("b", "pack", (plain,), (packed,)),
            StaticCall("c", "decode", (codes[1],), (moved,)),
            StaticCall("d", "pack", (moved,), (second,)),
            StaticCall("e", "decode_other", (codes[2],), (other,)),
        ],
        calls=[StaticCall("y", "conv", (Value(4, input_index=0), packed, second, other), (Value(4),))],
    )
    constants = ConstantBlobBuilder()
    loads = place_loads(program, constants, {"pack": 70}, {"e": Origin(("decode",), ("e",))})
    assert [call.kernel for call in loads.calls] == ["decode", "pack", "decode", "pack", "decode_other"]
    assert loads.operands[packed] == Operand("decoded", 0, 200)
    assert loads.operands[second] == Operand("decoded", 256, 200)
    assert loads.operands[other] == Operand("decoded", 512, 50)
    assert loads.decoded_bytes == 576
    # 100 bytes and the scratch of 70 are there at once, and again for the second weight.
    assert loads.scratch_bytes == 256
    first = loads.calls[1]
    assert first.scratch is not None and first.operands[0].space == first.scratch.space == "scratch"
    assert loads.calls[0].operands == (Operand("constant", 0, 16), first.operands[0])
    assert loads.calls[4].layers == ("e",)


def test_equal_calls_are_one() -> None:
    """Tied weights are decoded once, though each reader has a call of its own."""
    results = [Value(64) for _ in range(3)]
    packed = [Value(64) for _ in range(2)]
    program = StaticProgram(
        loads=[
            StaticCall("a", "decode", (constant(1),), (results[0],)),
            StaticCall("b", "decode", (constant(1),), (results[1],)),
            StaticCall("c", "decode", (constant(2),), (results[2],)),
            StaticCall("d", "pack", (results[0],), (packed[0],)),
            StaticCall("e", "pack", (results[1],), (packed[1],)),
        ],
        calls=[StaticCall("y", "add", (results[2], *packed), (Value(4),))],
    )
    loads = place_loads(program, ConstantBlobBuilder(), {}, {})
    assert [call.kernel for call in loads.calls] == ["decode", "decode", "pack"]
    assert loads.operands[packed[0]] == loads.operands[packed[1]]
    assert loads.decoded_bytes == 128


def test_nothing_to_decode() -> None:
    loads = place_loads(StaticProgram(), ConstantBlobBuilder(), {}, {})
    assert (loads.calls, loads.decoded_bytes, loads.scratch_bytes) == ((), 0, 0)
