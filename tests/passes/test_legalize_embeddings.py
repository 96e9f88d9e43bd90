"""Rows of stored tables: the bits of NumPy, clipped row numbers, and no decoded table."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.passes.decode_weights import DecodeWeights
from edgecompile.passes.legalize_operators import LegalizeOperators
from edgecompile.passes.pipeline import eliminate_dead_code
from edgecompile.plan.static_program import AT_LOAD
from edgecompile.storage.operators import decode, is_decode
from edgecompile.storage.stored_weight import StoredWeight
from tests.storage.weights import one_of_each, table, uniform

SPARSE = "sparse"  # its rows cannot be decoded alone
WEIGHTS = {
    **{name: weight for name, weight in one_of_each().items() if name != SPARSE},
    "odd rows of 4 bits": uniform((7, 5), (7, 1), 4),
    "odd rows of 3 bits": uniform((7, 5), (7, 1), 3),
    "groups in a row": uniform((5, 6), (5, 2), 8),
    "a table of 5 bits": table((7, 5), (1, 1), 5, has_zero=False),
}
ROWS = np.array([[0, 4, 3], [-1, 99, -(1 << 33)]], np.int64)


def lowered(weight: StoredWeight, dtype: str, axis: int = 0) -> tvm.IRModule:
    builder = relax.BlockBuilder()
    rows = relax.Var("rows", relax.TensorType(ROWS.shape, dtype))
    with builder.function("main", [rows]):
        with builder.dataflow():
            decoded = builder.emit(decode(weight), name_hint="table")
            output = builder.emit_output(relax.op.take(decoded, rows, axis=axis, mode="clip"))
        builder.emit_func_output(output)
    return eliminate_dead_code()(LegalizeOperators()(builder.get(), []), [])


def run(module: tvm.IRModule, rows: np.ndarray) -> np.ndarray:
    machine = relax.VirtualMachine(relax.build(module, "llvm"), tvm.cpu())
    found: np.ndarray = machine["main"](tvm.runtime.tensor(rows)).numpy()
    return found


def holds_decode(module: tvm.IRModule) -> bool:
    return any(is_decode(binding.value) for block in module["main"].body.blocks for binding in block.bindings)


@pytest.mark.parametrize("name", WEIGHTS)
def test_rows_are_those_of_the_table(name: str) -> None:
    weight = WEIGHTS[name]
    module = lowered(weight, "int64")
    assert not holds_decode(module)
    expected = weight.decode()[np.clip(ROWS, 0, weight.shape[0] - 1)]
    np.testing.assert_array_equal(run(module, ROWS), expected)


def test_narrow_row_numbers() -> None:
    weight = WEIGHTS["groups in a row"]
    rows = ROWS.clip(-5, 5).astype(np.int32)
    np.testing.assert_array_equal(run(lowered(weight, "int32"), rows), weight.decode()[rows.clip(0, 4)])


def test_columns_are_taken_of_the_decoded_table() -> None:
    weight = WEIGHTS["groups in a row"]
    module = lowered(weight, "int64", axis=1)
    assert holds_decode(module)
    module = DecodeWeights()(module, [])
    assert any(AT_LOAD in (function.attrs or {}) for _, function in module.functions_items())
    np.testing.assert_array_equal(run(module, ROWS), weight.decode()[:, ROWS.clip(0, 5)])


def test_a_sparse_table_is_decoded_whole() -> None:
    weight = one_of_each()[SPARSE]
    module = lowered(weight, "int64")
    assert holds_decode(module)
    np.testing.assert_array_equal(run(DecodeWeights()(module, []), ROWS), weight.decode()[ROWS.clip(0, 5)])
