"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model, make_model, operators_of

RNG = np.random.default_rng(0)
EXACT = {"rtol": 0.0, "atol": 0.0}
X = (RNG.standard_normal((3, 5, 7)) * 3).astype(np.float32)


def integers(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    bounds = np.iinfo(dtype)
    return RNG.integers(bounds.min, bounds.max, shape, endpoint=True).astype(dtype)


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def scalar(value: float) -> np.ndarray:
    return np.array(value, np.float32)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_quantize_per_tensor_rounds_halves_to_even_and_saturates(dtype: str) -> None:
    x = f32(-1e9, -2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 1e9)
    inputs = {"x": x, "s": scalar(1.0), "z": np.array(3, dtype)}
    model = check_model(make_model("QuantizeLinear", inputs, outputs=[dtype]), inputs, freeze=("s", "z"))
    assert "relax.quantize" in operators_of(model)


# 10: per tensor only; 13: axis; 19: saturate and scales of 16 bits; 21: 16-bit results and blocks; 23: precision
@pytest.mark.parametrize("opset", [10, 13, 19, 21, 23])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_every_version_equals_onnxruntime_on_the_borders_between_steps(opset: int, dtype: str) -> None:
    # 0.0123 * (k + 0.5) lies within a rounding error of a border: x * (1 / scale) would fall on the wrong side of some
    borders = (np.arange(-300, 300) + 0.5).astype(np.float32) * np.float32(0.0123)
    x = np.concatenate([borders, np.nextafter(borders, np.float32(9)), f32(np.inf, -np.inf, -0.0)])
    parameters = {"s": scalar(0.0123), "z": np.array(5, dtype)}
    proto = make_model("QuantizeLinear", {"x": x, **parameters}, outputs=[dtype], opset=opset)
    check_model(proto, {"x": x, **parameters}, freeze=("s", "z"), **EXACT)
    levels = {"x": integers((40, 9), dtype), **parameters}
    check_model(make_model("DequantizeLinear", levels, opset=opset), levels, freeze=("s", "z"), **EXACT)


@pytest.mark.parametrize("dtype", ["int8", "uint16"])
@pytest.mark.parametrize(
    ("opset", "attributes"), [(21, {}), (23, {}), (23, {"precision": int(onnx.TensorProto.FLOAT)})]
)
def test_the_quotient_of_float16_is_rounded_as_the_version_asks(
    opset: int, attributes: dict[str, int], dtype: str
) -> None:
    x = (RNG.standard_normal(5000) * 10).astype(np.float16)
    inputs = {"x": x, "s": np.array(0.1, np.float16), "z": np.array(3, dtype)}
    proto = make_model("QuantizeLinear", inputs, outputs=[dtype], opset=opset, **attributes)
    check_model(proto, inputs, freeze=("s", "z"), **EXACT)


def test_bfloat16_has_too_few_digits_for_the_levels_themselves() -> None:
    import ml_dtypes

    x = np.arange(0.0, 250.0).astype(ml_dtypes.bfloat16)
    inputs = {"x": x, "s": np.array([1.0], ml_dtypes.bfloat16), "z": np.array([5], np.uint8)}
    proto = make_model("QuantizeLinear", inputs, outputs=["uint8"], opset=23)
    check_model(proto, inputs, freeze=("s", "z"), expected=[np.arange(5, 255).astype(np.uint8)], **EXACT)


@pytest.mark.parametrize(("axis", "dtype"), [(0, "int8"), (2, "uint8"), (None, "int16")])
def test_a_constant_is_quantized_at_import(axis: int | None, dtype: str) -> None:
    count = 1 if axis is None else X.shape[axis]
    weight = np.concatenate([X[:, :4] * 9, np.full((3, 1, 7), np.inf, np.float32)], axis=1)
    levels = {"w": weight, "s": RNG.uniform(0.01, 0.3, count).astype(np.float32), "z": integers((count,), dtype)}
    attributes = {} if axis is None else {"axis": axis}
    x = integers((3, 2, 7), dtype)
    proto = make_model("QuantizeLinear", {"x": x, **levels}, outputs=[dtype])
    proto.graph.node[0].CopyFrom(onnx.helper.make_node("QuantizeLinear", ["w", "s", "z"], ["levels"], **attributes))
    proto.graph.node.append(onnx.helper.make_node("Concat", ["levels", "x"], ["out0"], axis=1))
    model = check_model(proto, {"x": x, **levels}, freeze=("w", "s", "z"), **EXACT)
    assert "relax.quantize" not in operators_of(model)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (1, 1)])
def test_scales_and_zero_points_known_at_import_are_constants(shape: tuple[int, ...]) -> None:
    inputs = {"x": X, "s": np.full(shape, 0.05, np.float32), "z": np.full(shape, 3, np.int8)}
    model = load_onnx(make_model("QuantizeLinear", inputs, outputs=["int8"]), freeze={n: inputs[n] for n in ("s", "z")})
    assert operators_of(model) == {"relax.quantize"}


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_quantize_and_dequantize_per_axis(axis: int) -> None:
    count = X.shape[axis]
    scale = RNG.uniform(0.01, 0.05, count).astype(np.float32)
    zero = integers((count,), "int8")
    quantized = {"x": X, "s": scale, "z": zero}
    proto = make_model("QuantizeLinear", quantized, outputs=["int8"], axis=axis)
    check_model(proto, quantized, freeze=("s", "z"), **EXACT)
    values = {"x": integers(X.shape, "int8"), "s": scale, "z": zero}
    model = check_model(make_model("DequantizeLinear", values, axis=axis), values, freeze=("s", "z"))
    assert "relax.dequantize" in operators_of(model)


def test_scales_of_run_time() -> None:
    inputs = {"x": X, "s": scalar(0.05), "z": np.array(7, np.uint8)}
    check_model(make_model("QuantizeLinear", inputs, outputs=["uint8"]), inputs, **EXACT)


@pytest.mark.parametrize(("axis", "block"), [(2, 3), (1, 5), (1, 2), (0, 1)])
def test_blocks(axis: int, block: int) -> None:
    shape = [*X.shape]
    shape[axis] = -(-shape[axis] // block)
    scale = RNG.uniform(0.01, 0.05, shape).astype(np.float32)
    inputs = {"x": integers(X.shape, "int8"), "s": scale, "z": integers(tuple(shape), "int8")}
    difference = inputs["x"].astype(np.float32) - np.repeat(inputs["z"], block, axis)[:3, :5, :7]
    expected = difference * np.repeat(scale, block, axis)[:3, :5, :7]
    proto = make_model("DequantizeLinear", inputs, axis=axis, block_size=block)
    model = check_model(proto, inputs, freeze=("s", "z"), expected=[expected.astype(np.float32)])
    assert "relax.dequantize" in operators_of(model)


@pytest.mark.parametrize("count", [1, 5])
def test_a_transposed_weight_stays_next_to_its_dequantize(count: int) -> None:
    weight = {"w": integers((3, 5, 7), "int8"), "s": RNG.uniform(0.01, 0.05, count).astype(np.float32)}
    x = RNG.standard_normal((7, 3, 5)).astype(np.float32)
    proto = make_model("DequantizeLinear", {"x": x, **weight})
    nodes = [
        onnx.helper.make_node("DequantizeLinear", ["w", "s"], ["values"], axis=1),
        onnx.helper.make_node("Transpose", ["values"], ["moved"], perm=[2, 0, 1]),
        onnx.helper.make_node("Add", ["moved", "x"], ["out0"]),
    ]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    model = check_model(proto, {"x": x, **weight}, freeze=("w", "s"), **EXACT)
    assert operators_of(model) == {"relax.dequantize", "relax.add"}


def test_weights_of_four_bits_become_eight() -> None:
    import ml_dtypes

    weight = np.arange(-8, 8).astype(np.int8)
    tensor = onnx.numpy_helper.from_array(weight.astype(ml_dtypes.int4), "w")
    node = onnx.helper.make_node("DequantizeLinear", ["w", "s"], ["d"])
    added = onnx.helper.make_node("Add", ["d", "x"], ["y"])
    info = [onnx.helper.make_tensor_value_info(name, 1, [16]) for name in ("x", "y")]
    scale = onnx.numpy_helper.from_array(scalar(0.5), "s")
    graph = onnx.helper.make_graph([node, added], "g", info[:1], info[1:], [tensor, scale])
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    x = RNG.standard_normal(16).astype(np.float32)
    check_model(proto, {"x": x}, expected=[x + weight.astype(np.float32) * np.float32(0.5)])


@pytest.mark.parametrize("x", [X, np.zeros((2, 3), np.float32), np.abs(X), -np.abs(X)])
def test_dynamic_quantize(x: np.ndarray) -> None:
    proto = make_model("DynamicQuantizeLinear", {"x": x}, outputs=["uint8", "float32", "uint8"])
    check_model(proto, {"x": x}, **EXACT)


@pytest.mark.parametrize("op_type", ["QuantizeLinear", "DequantizeLinear"])
@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (f32(0.1, 0.0, 0.1), "scales must be finite and not 0, found 0.0"),
        (f32(0.1, np.nan, 0.1), "scales must be finite and not 0, found nan"),
        (f32(0.1, 0.1), r"the scale needs one element, or 3 as axis 0 of its tensor, found shape \[2\]"),
    ],
)
def test_bad_scales(op_type: str, scale: np.ndarray, message: str) -> None:
    x = X if op_type == "QuantizeLinear" else integers(X.shape, "int8")
    inputs = {"x": x, "s": scale, "z": np.zeros(scale.shape, np.int8)}
    proto = make_model(op_type, inputs, outputs=["int8" if op_type == "QuantizeLinear" else "float32"], axis=0)
    with pytest.raises(InvalidModelError, match=message):
        load_onnx(proto, freeze={"s": inputs["s"], "z": inputs["z"]})


def test_a_block_of_the_wrong_count_is_refused() -> None:
    inputs = {"x": integers((4, 6), "int8"), "s": np.ones((4, 3), np.float32)}
    with pytest.raises(InvalidModelError, match=r"a scale of shape \[4, 2\] was needed for its blocks, found \[4, 3\]"):
        load_onnx(make_model("DequantizeLinear", inputs, axis=1, block_size=4))


def test_results_of_four_bits_are_refused() -> None:
    inputs = {"x": X, "s": scalar(0.1)}
    proto = make_model("QuantizeLinear", inputs, outputs=["int8"], output_dtype=int(onnx.TensorProto.INT4))
    with pytest.raises(UnsupportedModelError, match="can be computed, found int4"):
        load_onnx(proto)
