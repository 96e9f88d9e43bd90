"""Weights of ONNX models that come in fewer bits: the same bits as folded, stored as they came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgecompile as ec
from edgecompile.frontend.model import Model
from edgecompile.frontend.onnx import load_onnx
from edgecompile.passes.keep_stored_weights import KeepStoredWeights
from edgecompile.passes.pipeline import standard_phases
from edgecompile.storage.operators import is_decode, stored_weight
from tests.relax_models import run_virtual_machine

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((3, 96)).astype(np.float32)


def model_of(
    weight: onnx.TensorProto,
    decode: str = "DequantizeLinear",
    parameters: dict[str, Any] | None = None,
    *,
    transpose: bool = False,
    rows: int | str = 3,
    **attributes: Any,
) -> Model:
    """x [rows, 96] times a weight through one node, and a transposition."""
    constants = [weight, *(numpy_helper.from_array(array, name) for name, array in (parameters or {}).items())]
    nodes = [helper.make_node(decode, [constant.name for constant in constants], ["decoded"], **attributes)]
    if transpose:
        nodes.append(helper.make_node("Transpose", ["decoded"], ["turned"], perm=[1, 0]))
    nodes.append(helper.make_node("MatMul", ["x", "turned" if transpose else "decoded"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 96])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 48])],
        constants,
    )
    return load_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def tensor(array: np.ndarray, dtype: int) -> onnx.TensorProto:
    return helper.make_tensor("w", dtype, array.shape, array.reshape(-1))


def scales(*shape: int) -> np.ndarray:
    return RANDOM.uniform(0.01, 0.1, shape).astype(np.float32)


def signed(*shape: int, bits: int) -> np.ndarray:
    return RANDOM.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape).astype(np.int8)


MODELS = {
    "int8": (8, model_of(tensor(signed(96, 48, bits=8), TensorProto.INT8), parameters={"s": scales(48)}, axis=1)),
    "uint8": (
        8,
        model_of(
            tensor(RANDOM.integers(0, 256, (96, 48)), TensorProto.UINT8),
            parameters={"s": scales(48), "z": RANDOM.integers(0, 256, 48).astype(np.uint8)},
            axis=1,
        ),
    ),
    "int8 per tensor, turned": (
        8,
        model_of(tensor(signed(48, 96, bits=8), TensorProto.INT8), parameters={"s": scales()}, transpose=True),
    ),
    "int4": (4, model_of(tensor(signed(96, 48, bits=4), TensorProto.INT4), parameters={"s": scales(48)}, axis=1)),
    "int4 in blocks": (
        4,
        model_of(
            tensor(signed(96, 48, bits=4), TensorProto.INT4), parameters={"s": scales(3, 48)}, axis=0, block_size=32
        ),
    ),
    "float16": (
        16,
        model_of(
            numpy_helper.from_array(RANDOM.standard_normal((96, 48)).astype(np.float16), "w"),
            "Cast",
            to=TensorProto.FLOAT,
        ),
    ),
}


def kept(model: Model) -> list[Any]:
    canonical, *_ = standard_phases()[0].passes
    module = KeepStoredWeights()(canonical(model.module, []), [])
    bindings = (binding for block in module["main"].body.blocks for binding in block.bindings)
    return [binding.value for binding in bindings if is_decode(binding.value)]


@pytest.mark.filterwarnings("ignore:output 'y' differs from onnxruntime")  # which is off NumPy's answer by as much
@pytest.mark.parametrize("name", [name for name in MODELS if name != "float16"])
def test_bits_and_answers(name: str, tmp_path: Path) -> None:
    bits, model = MODELS[name]
    (call,) = kept(model)
    weight = stored_weight(call)
    assert weight.shape == (96, 48)
    assert weight.nbytes < 96 * 48 * bits / 8 + 5 * 3 * 48 + 1
    exact = run_virtual_machine(model.module, np.eye(96, dtype=np.float32)[:3])[0]
    np.testing.assert_array_equal(weight.decode()[:3], exact)
    artifact = ec.compile(model, out=tmp_path / "artifact")
    assert artifact.manifest.weight_bytes < weight.nbytes + 1024
    np.testing.assert_allclose(artifact.run(X)[0], X @ weight.decode(), rtol=1e-5, atol=1e-4)


def test_float16() -> None:
    """A small constant is cast when it is imported, and this one is small for that."""
    from tvm import relax

    _, model = MODELS["float16"]
    half = RANDOM.standard_normal((96, 48)).astype(np.float16)
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((3, 96), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            wide = builder.emit(relax.op.astype(relax.const(half), "float32"))
            output = builder.emit_output(relax.op.matmul(x, wide))
        builder.emit_func_output(output)
    module = KeepStoredWeights()(builder.get(), [])
    (call,) = [b.value for b in module["main"].body.blocks[0].bindings if is_decode(b.value)]
    np.testing.assert_array_equal(stored_weight(call).decode(), half.astype(np.float32))
    assert not kept(model)


def test_what_is_folded() -> None:
    """Small weights, and those of models that decode in every inference."""
    weight = tensor(signed(96, 48, bits=8), TensorProto.INT8)
    assert kept(model_of(weight, parameters={"s": scales()}))
    assert not kept(model_of(weight, parameters={"s": scales()}, rows="n"))
    few = helper.make_tensor("w", TensorProto.INT8, (96, 1), signed(96, bits=8))
    assert not kept(model_of(few, parameters={"s": scales()}))
