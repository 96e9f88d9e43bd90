"""The walk: names, constants, shape arithmetic, dynamic dimensions, functions, one message for all that is missing."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper

from edgecompile.errors import InvalidInputError, UnsupportedModelError
from edgecompile.frontend.model import TensorSpec
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.graphs import model, relu, value
from tests.frontend.onnx.operators.one_node import operators_of, run

X = np.array([[-1, 2, -3], [4, -5, 6]], np.float32)


def test_signature_and_name() -> None:
    loaded = load_onnx(relu())
    assert loaded.inputs == (TensorSpec("x", (2, 3), "float32"),)
    assert loaded.outputs == (TensorSpec("y", (2, 3), "float32"),)
    assert (loaded.name, loaded.source, loaded.opset) == ("net", "onnx", 21)
    assert loaded.reference_name.startswith("onnx")
    np.testing.assert_array_equal(run(loaded, [X])[0], np.maximum(X, 0))


def test_the_name_becomes_an_identifier() -> None:
    assert load_onnx(relu(), name="3 nets/v1.0").name == "_3_nets_v1_0"


def test_node_names_reach_the_ir() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="block1/relu"), helper.make_node("Abs", ["a"], ["y"])]
    loaded = load_onnx(model(nodes, [value("x")], [value("y")]))
    names = [binding.var.name for binding in loaded.module["main"].body.blocks[0].bindings]
    assert "block1_relu" in names


def test_every_unsupported_node_is_named() -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["a"], name="noise"),
        helper.make_node("Strange", ["x"], ["b"], name="odd", domain="somewhere"),
        helper.make_node("Add", ["a", "b"], ["y"], name="fine"),
    ]
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("somewhere", 3)]
    with pytest.raises(UnsupportedModelError) as error:
        load_onnx(model(nodes, [value("x")], [value("y")], opset_imports=imports))
    message = str(error.value)
    assert message.startswith("2 of 3 nodes")
    assert "'noise'" in message and "'odd'" in message and "'somewhere'" in message
    assert "fine" not in message
    assert len(message.splitlines()) == 1


def test_a_refusal_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    node = helper.make_node("RandomNormalLike", ["x"], ["y"])
    with pytest.raises(UnsupportedModelError):
        load_onnx(model([node], [value("x")], [value("y")]))
    assert capfd.readouterr() == ("", "")


def test_shape_arithmetic_vanishes() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["d"]),
        helper.make_node("Unsqueeze", ["d", "zero"], ["d1"]),
        helper.make_node("Concat", ["d1", "minus"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["y"]),
    ]
    weights = {"one": np.int64(1), "zero": np.array([0]), "minus": np.array([-1])}
    weights = {name: np.asarray(array, np.int64) for name, array in weights.items()}
    loaded = load_onnx(model(nodes, [value("x")], [value("y", None)], weights=weights))
    assert operators_of(loaded) == {"relax.reshape"}
    np.testing.assert_array_equal(run(loaded, [X])[0], X.reshape(3, 2))
    dynamic = load_onnx(model(nodes, [value("x", ["N", "M"])], [value("y", None)], weights=weights))
    assert dynamic.inputs[0].shape == ("N", "M")
    assert dynamic.outputs[0].shape[0] == "M"
    assert not dynamic.is_static
    np.testing.assert_array_equal(run(dynamic, [X])[0], X.reshape(3, 2))


def test_dynamic_batch() -> None:
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((3, 4), np.float32), "b": rng.standard_normal(4, np.float32)}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["a"]),
        helper.make_node("LayerNormalization", ["a", "b", "b"], ["n"]),
        helper.make_node("Slice", ["n", "start", "end", "axis"], ["c"]),
        helper.make_node("Softmax", ["c"], ["y"]),
    ]
    bounds = {"start": np.array([1]), "end": np.array([2**31 - 1]), "axis": np.array([1])}
    loaded = load_onnx(model(nodes, [value("x", ["N", 3])], [value("y", None)], weights={**weights, **bounds}))
    assert loaded.outputs[0].shape == ("N", 3)
    for count in (1, 5):
        x = rng.standard_normal((count, 3), np.float32)
        assert loaded.reference is not None
        np.testing.assert_allclose(run(loaded, [x])[0], loaded.reference([x])[0], rtol=1e-5, atol=1e-6)


def test_indices_from_the_end_of_a_dynamic_dimension() -> None:
    """The kernel that makes them positive must be given the dimension, which its own tensors do not have."""
    proto = model(
        [helper.make_node("Gather", ["x", "i"], ["y"])],
        [value("x", ["N", 3]), value("i", ["K"], TensorProto.INT64)],
        [value("y", None)],
    )
    x, indices = np.arange(15, dtype=np.float32).reshape(5, 3), np.array([-1, 0, -5, 2])
    np.testing.assert_array_equal(run(load_onnx(proto), [x, indices])[0], x[indices])


def test_shapes_freeze_dimensions() -> None:
    proto = model([helper.make_node("Relu", ["x"], ["y"])], [value("x", ["N", 3])], [value("y", None)])
    assert load_onnx(proto, shapes={"x": [2, 3]}).is_static
    with pytest.raises(InvalidInputError, match="shape that fits"):
        load_onnx(proto, shapes={"x": [2, 4]})
    with pytest.raises(InvalidInputError, match="found 'z'"):
        load_onnx(proto, shapes={"z": [2, 4]})


def test_freeze_makes_an_input_constant() -> None:
    inputs = [value("x"), value("axes", [1], TensorProto.INT64)]
    proto = model([helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)], inputs, [value("y", None)])
    with pytest.raises(UnsupportedModelError, match=r"'axes'.*freeze"):
        load_onnx(proto)
    loaded = load_onnx(proto, freeze={"axes": np.array([1])})
    assert [spec.name for spec in loaded.inputs] == ["x"]
    np.testing.assert_allclose(run(loaded, [X])[0], X.sum(axis=1))
    with pytest.raises(InvalidInputError, match="dtype int64"):
        load_onnx(proto, freeze={"axes": np.array([1.0])})
    with pytest.raises(InvalidInputError, match="shape"):
        load_onnx(proto, freeze={"axes": np.array([1, 2])})


def test_outputs_that_are_inputs_or_constants() -> None:
    nodes = [helper.make_node("Identity", ["x"], ["same"]), helper.make_node("Relu", ["x"], ["y"])]
    outputs = [value("same"), value("w", [3]), value("y"), value("x"), value("empty", [0, 2])]
    weights = {"w": np.arange(3, dtype=np.float32), "empty": np.zeros((0, 2), np.float32)}
    found = run(load_onnx(model(nodes, [value("x")], outputs, weights=weights)), [X])
    for have, want in zip(found, [X, weights["w"], np.maximum(X, 0), X, weights["empty"]], strict=True):
        np.testing.assert_array_equal(have, want)


def test_scalars_and_tensors_without_elements() -> None:
    for shape in ([], [0, 3]):
        nodes = [helper.make_node("Add", ["x", "x"], ["a"]), helper.make_node("ReduceSum", ["a"], ["y"], keepdims=0)]
        x = np.full(shape, 1.5, np.float32)
        found = run(load_onnx(model(nodes, [value("x", shape)], [value("a", shape), value("y", [])])), [x])
        np.testing.assert_array_equal(found[0], x + x)
        np.testing.assert_array_equal(found[1], np.sum(x + x))


def test_model_functions_take_attributes_and_their_own_opset() -> None:
    inner = helper.make_node("LeakyRelu", ["a"], ["b"])
    inner.attribute.add(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="slope")
    functions = [helper.make_function("mine", "Leaky", ["a"], ["b"], [inner], [helper.make_opsetid("", 16)], ["slope"])]
    node = helper.make_node("Leaky", ["x"], ["y"], domain="mine", slope=0.5)
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("mine", 1)]
    loaded = load_onnx(model([node], [value("x")], [value("y")], opset_imports=imports, functions=functions))
    np.testing.assert_allclose(run(loaded, [X])[0], np.where(X > 0, X, X / 2))


def test_operators_without_importer_use_their_schema_body() -> None:
    node = helper.make_node("NegativeLogLikelihoodLoss", ["x", "t"], ["y"], reduction="mean")
    proto = model([node], [value("x"), value("t", [2], TensorProto.INT64)], [value("y", [])])
    loaded = load_onnx(proto)
    target = np.array([2, 0])
    np.testing.assert_allclose(run(loaded, [X, target])[0], -np.mean(X[[0, 1], target]), rtol=1e-6)


def test_no_kernel_needs_tvm_at_run_time() -> None:
    """CumSum and TopK would be calls into TVM's runtime by TVM's own legalisations."""
    import tvm

    from edgecompile.passes import lower, standard_phases
    from edgecompile.plan.static_program import why_not_static

    nodes = [helper.make_node("CumSum", ["x", "axis"], ["c"]), helper.make_node("TopK", ["c", "k"], ["y", "i"])]
    weights = {"axis": np.asarray(1, np.int64), "k": np.array([2], np.int64)}
    loaded = load_onnx(model(nodes, [value("x")], [value("y", None)], weights=weights))
    assert why_not_static(lower(loaded.module, standard_phases(), tvm.target.Target("llvm")).module) is None
