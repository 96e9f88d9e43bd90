"""`edgecompile.decode` in Relax, its loops, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.decision import Decision
from edgecompile.passes.decode_weights import DecodeWeights
from edgecompile.plan.static_program import AT_LOAD
from edgecompile.storage.operators import DECODE, decode, is_decode, register, stored_weight
from edgecompile.storage.stored_weight import CodedWeight, StoredWeight
from tests.storage.weights import one_of_each, uniform

WEIGHTS = one_of_each()


def module_of(weight: StoredWeight) -> tvm.IRModule:
    """x + the weight."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(weight.shape, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            decoded = builder.emit(decode(weight), name_hint="weight")
            output = builder.emit_output(relax.op.add(x, decoded))
        builder.emit_func_output(output)
    return builder.get()


@pytest.mark.parametrize("name", WEIGHTS)
def test_loops_answer_the_bits_of_numpy(name: str) -> None:
    weight = WEIGHTS[name]
    decisions: list[Decision] = []
    lowered = DecodeWeights()(module_of(weight), decisions)
    assert [decision.subject for decision in decisions] == ["weight"]
    kernels = [function for _, function in lowered.functions_items() if AT_LOAD in (function.attrs or {})]
    assert len(kernels) == 1
    built = relax.build(lowered, "llvm")
    machine = relax.VirtualMachine(built, tvm.cpu())
    found = machine["main"](tvm.runtime.tensor(np.zeros(weight.shape, np.float32))).numpy()
    np.testing.assert_array_equal(found, weight.decode())


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_call_holds_the_weight(name: str) -> None:
    call = decode(WEIGHTS[name])
    assert is_decode(call)
    assert [int(extent) for extent in call.ty.shape.values] == [6, 4, 3, 3]
    np.testing.assert_array_equal(stored_weight(call).decode(), WEIGHTS[name].decode())


def test_constants_are_not_folded() -> None:
    module = module_of(WEIGHTS["int4 per channel"])
    folded = relax.transform.FoldConstant()(relax.transform.LegalizeOps()(module))
    operators = [binding.value.op.name for binding in folded["main"].body.blocks[0].bindings]
    assert operators[0] == DECODE


def test_equal_loops_are_one_kernel() -> None:
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((4, 6), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            first = builder.emit(decode(uniform((6, 6), (1, 6), 4, seed=1)))
            second = builder.emit(decode(uniform((6, 6), (1, 6), 4, seed=2)))
            output = builder.emit_output(relax.op.matmul(builder.emit(relax.op.matmul(x, first)), second))
        builder.emit_func_output(output)
    lowered = DecodeWeights()(builder.get(), [])
    assert sum(AT_LOAD in (function.attrs or {}) for _, function in lowered.functions_items()) == 1


def test_without_stored_weights_nothing_changes() -> None:
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((2,), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            output = builder.emit_output(relax.op.add(x, x))
        builder.emit_func_output(output)
    module = builder.get()
    assert DecodeWeights()(module, []).same_as(module)


GOOD = uniform((4, 6), (1, 6), 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [4, 7]}, "another number of codes"),
        ({"shape": [1 << 40, 6]}, "another number of codes"),
        ({"shape": [-4, -6]}, "found .* and 4 bits"),
        ({"bits": 8}, "another number of codes"),
        ({"bits": 0}, "and 0 bits"),
        ({"method": "table"}, "takes uint8, float32 and float32"),
        ({"method": "half"}, "needs a method"),
        ({"method": "exec"}, "needs a method"),
        ({"shape": [6, 4]}, "do not fit a weight"),
        ({"shape": "ab"}, "a list of extents"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], message: str) -> None:
    """A file may claim anything; the loops would read past the end."""
    call = decode(GOOD)
    attributes = {"method": "uniform", "bits": 4, "shape": [4, 6], **changes}
    changed = relax.Call(call.op, call.args, tvm.ir.make_node("ir.DictAttrs", **attributes))
    with pytest.raises(ValueError, match=message):
        relax.BlockBuilder().normalize(changed)


def test_a_short_table_is_refused() -> None:
    weight = CodedWeight(GOOD.codes, 4, GOOD.scale, table=np.zeros(16, np.float32))
    call = decode(weight)
    short = relax.const(np.zeros(15, np.float32))
    with pytest.raises(ValueError, match="does not fit"):
        relax.BlockBuilder().normalize(relax.Call(call.op, [*call.args[:2], short], call.attrs))


def sparse_call(mask: np.ndarray, values: np.ndarray, shape: list[int], **others: int) -> relax.Call:
    register()
    attributes = tvm.ir.make_node("ir.DictAttrs", method="sparse", shape=shape, **others)
    return relax.Call(tvm.ir.Op.get(DECODE), [relax.const(mask), relax.const(values)], attributes)


MASK = np.array([0b0101, 1], np.uint8)  # of the ten weights the first, the third and the ninth


def test_a_bitmask_counts_from_the_lowest_bit() -> None:
    call = relax.BlockBuilder().normalize(sparse_call(MASK, np.array([1, 2, 3], np.int8), [2, 5]))
    np.testing.assert_array_equal(stored_weight(call).decode(), [[1, 0, 2, 0, 0], [0, 0, 0, 3, 0]])
    assert str(call.ty.dtype) == "int8"


@pytest.mark.parametrize(
    ("mask", "values", "shape", "message"),
    [
        (MASK, np.ones(2, np.float32), [2, 5], "a bitmask of 3 ones does not fit"),
        (MASK, np.ones(4, np.float32), [2, 5], "a bitmask of 3 ones does not fit"),
        (MASK, np.ones((3, 1), np.float32), [2, 5], "a bitmask of 3 ones does not fit"),
        (MASK[:1], np.ones(2, np.float32), [2, 5], "another number of bytes"),
        (MASK, np.ones(3, np.float32), [1 << 40, 5], "another number of bytes"),
        (MASK, np.ones(3, np.float32), [-2, -5], "takes uint8 and float32 or int8"),
        (np.zeros(2, np.uint8), np.ones(1, np.float32), [2, 5], "0 ones"),
        (MASK, np.ones(3, np.int32), [2, 5], "takes uint8 and float32 or int8"),
        (MASK.astype(np.int8), np.ones(3, np.float32), [2, 5], "takes uint8 and float32 or int8"),
    ],
)
def test_a_bitmask_that_does_not_fit_is_refused(
    mask: np.ndarray, values: np.ndarray, shape: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        relax.BlockBuilder().normalize(sparse_call(mask, values, shape))


def test_a_bitmask_has_one_bit_for_each_weight() -> None:
    with pytest.raises(ValueError, match="needs a method"):
        relax.BlockBuilder().normalize(sparse_call(MASK, np.ones(3, np.float32), [2, 5], bits=1))
