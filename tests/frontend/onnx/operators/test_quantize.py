"""QuantizeLinear, DequantizeLinear and operators on quantized tensors against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model, make_model, operators_of

RNG = np.random.default_rng(0)
X = (RNG.standard_normal((3, 5, 7)) * 3).astype(np.float32)
# a quantized result may differ by one step where the float result lies on the border of two
STEP = {"rtol": 0.0, "atol": 1.0}


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


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_quantize_and_dequantize_per_axis(axis: int) -> None:
    count = X.shape[axis]
    scale = RNG.uniform(0.01, 0.05, count).astype(np.float32)
    zero = integers((count,), "int8")
    quantized = {"x": X, "s": scale, "z": zero}
    proto = make_model("QuantizeLinear", quantized, outputs=["int8"], axis=axis)
    check_model(proto, quantized, freeze=("s", "z"), **STEP)
    values = {"x": integers(X.shape, "int8"), "s": scale, "z": zero}
    model = check_model(make_model("DequantizeLinear", values, axis=axis), values, freeze=("s", "z"))
    assert "relax.dequantize" in operators_of(model)


def test_scales_of_run_time() -> None:
    inputs = {"x": X, "s": scalar(0.05), "z": np.array(7, np.uint8)}
    check_model(make_model("QuantizeLinear", inputs, outputs=["uint8"]), inputs, **STEP)


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
    check_model(proto, {"x": x}, rtol=1e-6, atol=1.0)


@pytest.mark.parametrize("group", [1, 2])
def test_qlinear_conv_per_channel_with_bias(group: int) -> None:
    inputs = {
        "x": integers((2, 4, 6, 5), "uint8"), "xs": scalar(0.02), "xz": np.array(120, np.uint8),
        "w": integers((6, 4 // group, 3, 2), "int8"), "ws": RNG.uniform(0.001, 0.01, 6).astype(np.float32),
        "wz": np.zeros(6, np.int8), "ys": scalar(0.05), "yz": np.array(100, np.uint8),
        "b": RNG.integers(-500, 500, 6).astype(np.int32),
    }  # fmt: skip
    proto = make_model(
        "QLinearConv", inputs, outputs=["uint8"], group=group, pads=[1, 0, 0, 1], strides=[2, 1], dilations=[1, 2]
    )
    frozen = tuple(name for name in inputs if name != "x")
    model = check_model(proto, inputs, freeze=frozen, **STEP)
    assert {"relax.quantize", "relax.dequantize", "relax.nn.conv2d"} <= operators_of(model)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_qlinear_matmul(dtype: str) -> None:
    inputs = {
        "a": integers((3, 5), dtype), "as": scalar(0.02), "az": np.array(5, dtype),
        "b": integers((5, 7), dtype), "bs": scalar(0.01), "bz": np.array(9, dtype),
        "ys": scalar(0.3), "yz": np.array(11, dtype),
    }  # fmt: skip
    proto = make_model("QLinearMatMul", inputs, outputs=[dtype])
    check_model(proto, inputs, freeze=[name for name in inputs if name != "a"], **STEP)


def test_integer_operators_are_exact() -> None:
    matmul = {
        "a": integers((3, 300), "uint8"), "b": integers((300, 7), "int8"), "az": np.array(255, np.uint8),
        "bz": np.array(-128, np.int8),
    }  # fmt: skip
    check_model(make_model("MatMulInteger", matmul, outputs=["int32"]), matmul, rtol=0, atol=0)
    conv = {"x": integers((1, 3, 5, 6), "uint8"), "w": integers((4, 3, 2, 3), "uint8"), "xz": np.array(200, np.uint8)}
    proto = make_model("ConvInteger", conv, outputs=["int32"], pads=[1, 1, 0, 1])
    check_model(proto, conv, freeze=("w", "xz"), rtol=0, atol=0)


def quantized(names: str, shape: tuple[int, ...], scale: float, zero: int) -> dict[str, np.ndarray]:
    return {names: integers(shape, "uint8"), f"{names}s": scalar(scale), f"{names}z": np.array(zero, np.uint8)}


A, B = quantized("a", (2, 4, 6, 5), 0.02, 110), quantized("b", (4, 1, 5), 0.03, 130)
Y = {"ys": scalar(0.04), "yz": np.array(99, np.uint8)}
GEMM_C = {"c": RNG.integers(-900, 900, 3).astype(np.int32)}


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes"),
    [
        ("QLinearAdd", {**A, **B, **Y}, {}),
        ("QLinearMul", {**A, **B, **Y}, {}),
        ("QLinearSigmoid", {**A, "ys": scalar(1 / 256), "yz": np.array(0, np.uint8)}, {}),
        ("QLinearLeakyRelu", {**A, **Y}, {"alpha": 0.3}),
        ("QLinearGlobalAveragePool", {**A, **Y}, {"channels_last": 0}),
        ("QLinearAveragePool", {**A, **Y}, {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
        ("QLinearConcat", {**Y, **A, **quantized("b", (2, 1, 6, 5), 0.03, 130)}, {"axis": 1}),
        (
            "QGemm",
            {**quantized("a", (4, 5), 0.02, 110), **quantized("b", (3, 5), 0.01, 120), **GEMM_C, **Y},
            {"transB": 1, "alpha": 1.0},
        ),
    ],
)
def test_operators_of_onnxruntime(op_type: str, inputs: dict[str, np.ndarray], attributes: dict[str, Any]) -> None:
    proto = make_model(op_type, inputs, outputs=["uint8"], domain="com.microsoft", **attributes)
    frozen = [name for name in inputs if name.endswith(("s", "z"))]
    check_model(proto, inputs, freeze=frozen, **STEP)


def test_matmul_of_packed_four_bit_weights() -> None:
    k, n, block = 40, 3, 16
    inputs = {
        "a": RNG.standard_normal((2, k)).astype(np.float32),
        "b": integers((n, 3, block // 2), "uint8"),
        "s": RNG.uniform(0.01, 0.1, n * 3).astype(np.float32),
        "z": integers((n * 2,), "uint8"),
    }
    proto = make_model("MatMulNBits", inputs, domain="com.microsoft", K=k, N=n, bits=4, block_size=block)
    check_model(proto, inputs, freeze=("b", "s", "z"), rtol=1e-4, atol=1e-5)


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
