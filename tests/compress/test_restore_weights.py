"""Stored weights of a model that a step of compression does not touch."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tvm import relax

import edgecompile as ec
from edgecompile.compress.restore_weights import restore_weights
from edgecompile.frontend.model import Model
from edgecompile.frontend.onnx import load_onnx
from edgecompile.passes.simplify_model import simplify_model
from tests.compress.networks import network
from tests.relax_models import run_virtual_machine

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((3, 80)).astype(np.float32)


def model_of(*, per_channel: bool = True) -> Model:
    """x [3, 80] -> relu(x @ a) @ b @ c with a [80, 72] and b [72, 40] of int8, and c [40, 8] of float32."""
    constants: list[onnx.TensorProto] = []
    nodes = []
    for name, shape in (("a", (80, 72)), ("b", (72, 40))):
        count = shape[0] if per_channel else 1
        scale = RANDOM.uniform(0.01, 0.1, count).astype(np.float32)
        zero_point = RANDOM.integers(-9, 9, count).astype(np.int8)
        integers = RANDOM.integers(-128, 128, shape).astype(np.int8)
        parameters = (f"{name}_scale", scale), (f"{name}_zero", zero_point)
        constants += [numpy_helper.from_array(integers, name)]
        constants += [numpy_helper.from_array(array if per_channel else array[0], key) for key, array in parameters]
        inputs = [name, *(key for key, _ in parameters)]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}_float"], axis=0))
    constants.append(numpy_helper.from_array(RANDOM.standard_normal((40, 8)).astype(np.float32), "c"))
    nodes += [
        helper.make_node("MatMul", ["x", "a_float"], ["first"]),
        helper.make_node("Relu", ["first"], ["active"]),
        helper.make_node("MatMul", ["active", "b_float"], ["second"]),
        helper.make_node("MatMul", ["second", "c"], ["y"]),
    ]
    described = [helper.make_tensor_value_info(*tensor) for tensor in (("x", 1, [3, 80]), ("y", 1, [3, 8]))]
    graph = helper.make_graph(nodes, "small", described[:1], described[1:], constants)
    return load_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def storage_of(model: Model) -> dict[str, str]:
    """What the weight of each product is made by: the operators from its constant on."""
    bindings = [binding for block in model.module["main"].body.blocks for binding in block.bindings]
    values = {binding.var: binding.value for binding in bindings}

    def made_by(weight: relax.Expr) -> str:
        if not isinstance(weight, relax.Var):
            return str(weight.ty.dtype)
        value = values[weight]
        return f"{made_by(value.args[0])} {value.op.name.removeprefix('relax.')}"

    return {
        binding.var.name: made_by(binding.value.args[1])
        for binding in bindings
        if isinstance(binding.value, relax.Call) and binding.value.op.name == "relax.matmul"
    }


@pytest.mark.parametrize("per_channel", [True, False])
def test_folded_weights_come_back_as_they_were(per_channel: bool) -> None:
    model = model_of(per_channel=per_channel)
    folded = simplify_model(model)
    assert set(storage_of(folded).values()) == {"float32"}
    restored = dataclasses.replace(folded, module=restore_weights(model.module, folded.module))
    assert list(storage_of(restored).values()) == ["int8 dequantize", "int8 dequantize", "float32"]
    expected, found = (run_virtual_machine(each.module, X) for each in (folded, restored))
    np.testing.assert_array_equal(found, expected)
    assert restored.weight_bytes < folded.weight_bytes / 2


def test_what_lies_between_a_weight_and_its_layer_comes_back_too() -> None:
    model = network()
    restored = restore_weights(model.module, simplify_model(model).module)
    assert list(storage_of(dataclasses.replace(model, module=restored)).values()) == ["bfloat16 astype permute_dims"]


def test_a_step_changes_what_it_touches_and_no_other_weight() -> None:
    model = model_of()
    small = ec.compress(model, "fp16,skip=second")
    found = storage_of(small)
    assert found.pop("second") == "int8 dequantize"
    assert [made.split()[-1] for made in found.values()] == ["edgecompile.decode"] * 2


def test_a_model_without_stored_weights_stays_the_same_module() -> None:
    folded = simplify_model(model_of()).module
    assert restore_weights(folded, folded).same_as(folded)
