"""QLinear* and *Integer operators against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import edgecompile as ec
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model, make_model, operators_of

RNG = np.random.default_rng(0)
# a quantized result may differ by one step where the float result lies on the border of two
STEP = {"rtol": 0.0, "atol": 1.0}


def integers(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    bounds = np.iinfo(dtype)
    return RNG.integers(bounds.min, bounds.max, shape, endpoint=True).astype(dtype)


def scalar(value: float) -> np.ndarray:
    return np.array(value, np.float32)


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


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("left", "right"), [("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8"), ("int8", "uint8")]
)
def test_matmul_integer_is_exact_at_the_bounds(left: str, right: str, frozen: bool, tmp_path: Path) -> None:
    # 4096 products of 255 * 255 are 2.7e8: beyond what float32 or sums of 16 bits hold exactly
    low, high = np.iinfo(left), np.iinfo(right)
    inputs = {
        "a": integers((3, 4096), left), "b": integers((4096, 9), right),
        "az": np.array(low.min, left), "bz": integers((9,), right),
    }  # fmt: skip
    inputs["a"][0], inputs["b"][:, 0], inputs["bz"][0] = low.max, high.max, high.min
    wide = {name: array.astype(np.int64) for name, array in inputs.items()}
    expected = (wide["a"] - wide["az"]) @ (wide["b"] - wide["bz"])
    assert np.abs(expected).max() == 4096 * 255 * 255
    proto = make_model("MatMulInteger", inputs, outputs=["int32"])
    kept = {name: array for name, array in inputs.items() if name == "a" or not frozen}
    model = load_onnx(proto, freeze={name: array for name, array in inputs.items() if name not in kept})
    (found,) = ec.compile(model, target="host", out=tmp_path / "net").run(*kept.values())
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int32


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_conv_integer_is_exact(dtype: str, group: int, tmp_path: Path) -> None:
    import torch

    x, w, x_zero, w_zero = integers((2, 8, 9, 7), "uint8"), integers((12, 8 // group, 3, 3), dtype), 200, 7
    inputs = {"x": x, "w": w, "xz": np.array(x_zero, np.uint8), "wz": np.array(w_zero, dtype)}
    proto = make_model("ConvInteger", inputs, outputs=["int32"], pads=[1, 1, 0, 1], strides=[2, 1], group=group)
    model = load_onnx(proto, freeze={name: inputs[name] for name in ("w", "xz", "wz")})
    (found,) = ec.compile(model, target="host", out=tmp_path / "net").run(x)
    # float64 holds these sums exactly; padding is a real zero, not the zero point
    padded = np.pad(x.astype(np.float64) - x_zero, [(0, 0), (0, 0), (1, 0), (1, 1)])
    weight = torch.tensor(w.astype(np.float64) - w_zero)
    expected = torch.nn.functional.conv2d(torch.tensor(padded), weight, stride=(2, 1), groups=group).numpy()
    np.testing.assert_array_equal(found, expected.astype(np.int32))


def quantized(names: str, shape: tuple[int, ...], scale: float, zero: int) -> dict[str, np.ndarray]:
    return {names: integers(shape, "uint8"), f"{names}s": scalar(scale), f"{names}z": np.array(zero, np.uint8)}


A, B = quantized("a", (2, 4, 6, 5), 0.02, 110), quantized("b", (4, 1, 5), 0.03, 130)
LAST = quantized("a", (2, 6, 5, 4), 0.02, 110)
Y = {"ys": scalar(0.04), "yz": np.array(99, np.uint8)}
SOFTMAX_Y = {"ys": scalar(1 / 256), "yz": np.array(0, np.uint8)}
POOL = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes"),
    [
        ("QLinearAdd", {**A, **B, **Y}, {}),
        ("QLinearMul", {**A, **B, **Y}, {}),
        ("QLinearWhere", {"c": RNG.random((2, 1, 6, 5)) > 0.5, **A, **B, **Y}, {}),
        ("QLinearSigmoid", {**A, **SOFTMAX_Y}, {}),
        ("QLinearLeakyRelu", {**A, **Y}, {"alpha": 0.3}),
        ("QLinearGlobalAveragePool", {**A, **Y}, {"channels_last": 0}),
        ("QLinearGlobalAveragePool", {**LAST, **Y}, {"channels_last": 1}),
        ("QLinearAveragePool", {**A, **Y}, POOL),
        ("QLinearAveragePool", {**LAST, **Y}, {**POOL, "channels_last": 1, "count_include_pad": 1}),
        ("QLinearConcat", {**Y, **A, **quantized("b", (2, 1, 6, 5), 0.03, 130)}, {"axis": 1}),
    ],
)
def test_operators_of_onnxruntime(op_type: str, inputs: dict[str, np.ndarray], attributes: dict[str, Any]) -> None:
    proto = make_model(op_type, inputs, outputs=["uint8"], domain="com.microsoft", **attributes)
    frozen = [name for name in inputs if name.endswith(("s", "z"))]
    check_model(proto, inputs, freeze=frozen, **STEP)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_maxima_of_integers_stay_one_operator(dtype: str) -> None:
    x = integers((2, 16, 7, 6), dtype)
    x[0] = np.iinfo(dtype).min  # padding must not be larger
    proto = make_model("MaxPool", {"x": x}, outputs=[dtype], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    model = check_model(proto, {"x": x}, rtol=0, atol=0)
    assert operators_of(model) == {"relax.nn.max_pool2d"}


@pytest.mark.parametrize("axis", [-1, 1, 2])
@pytest.mark.parametrize("version", [11, 13])
def test_qlinear_softmax_of_the_version_it_names(version: int, axis: int) -> None:
    inputs = {**A, **SOFTMAX_Y}
    proto = make_model("QLinearSoftmax", inputs, outputs=["uint8"], domain="com.microsoft", axis=axis)
    proto.graph.node[0].attribute.append(onnx.helper.make_attribute("opset", version))
    check_model(proto, inputs, freeze=("as", "az", "ys", "yz"), **STEP)


@pytest.mark.parametrize(
    ("transposed", "bias"), [(0, None), (1, None), (1, ()), (1, (3,)), (1, (1, 3)), (1, (4, 3)), (1, (4, 1))]
)
def test_qgemm(transposed: int, bias: tuple[int, ...] | None) -> None:
    inputs = {**quantized("a", (4, 5), 0.02, 110), **quantized("b", (3, 5) if transposed else (5, 3), 0.01, 120)}
    inputs["c"] = None if bias is None else np.asarray(RNG.integers(-900, 900, bias), np.int32)
    proto = make_model("QGemm", {**inputs, **Y}, outputs=["uint8"], domain="com.microsoft", transB=transposed)
    frozen = [name for name in {**inputs, **Y} if name != "a" and {**inputs, **Y}[name] is not None]
    model = check_model(proto, {**inputs, **Y}, freeze=frozen, **STEP)
    assert "relax.permute_dims" not in operators_of(model)  # which would stand between the weight and its product


def test_qgemm_per_channel_into_float() -> None:
    inputs = {
        **quantized("a", (4, 5), 0.02, 110), "b": integers((3, 5), "int8"),
        "bs": RNG.uniform(0.001, 0.02, 3).astype(np.float32), "bz": np.zeros(3, np.int8),
        "c": RNG.integers(-900, 900, 3).astype(np.int32),
    }  # fmt: skip
    proto = make_model("QGemm", inputs, domain="com.microsoft", transB=1, alpha=0.5)
    check_model(proto, inputs, freeze=[name for name in inputs if name != "a"])


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("op_type", ["DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
def test_products_scaled_back_to_float(op_type: str, per_column: bool) -> None:
    b, bias = integers((50, 7), "int8"), RNG.standard_normal(7).astype(np.float32)
    scale = RNG.uniform(0.001, 0.02, 7 if per_column else 1).astype(np.float32)
    zero = integers((7 if per_column else 1,), "int8")
    if op_type == "DynamicQuantizeMatMul":
        a = RNG.standard_normal((3, 50)).astype(np.float32)
        inputs = {"a": a, "b": b, "bs": scale, "bz": zero, "bias": bias}
    else:
        a, one = integers((3, 50), "uint8"), np.array([0.02], np.float32)
        inputs = {"a": a, "b": b, "as": one, "bs": scale, "az": np.array([120], np.uint8), "bz": zero, "bias": bias}
    frozen = [name for name in inputs if name != "a"]
    check_model(make_model(op_type, inputs, domain="com.microsoft"), inputs, freeze=frozen)


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
