"""A sample of the ordinary operators with odd sizes and rare attributes, against ONNX Runtime or ONNX's evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model, make_model

RNG = np.random.default_rng(7)


def floats(*shape: int) -> np.ndarray:
    """Normal random numbers."""
    return RNG.standard_normal(shape, np.float32)


CASES: dict[str, tuple[str, dict[str, np.ndarray | None], dict[str, Any]]] = {
    "conv 1d": (
        "Conv",
        {"x": floats(2, 3, 11), "w": floats(5, 3, 4), "b": floats(5)},
        {"strides": [3], "pads": [2, 1]},
    ),
    "conv grouped": ("Conv", {"x": floats(1, 6, 9, 7), "w": floats(4, 3, 3, 2)}, {"group": 2, "dilations": [2, 1]}),
    "conv depthwise": (
        "Conv",
        {"x": floats(1, 5, 8, 8), "w": floats(5, 1, 3, 3)},
        {"group": 5, "auto_pad": "SAME_LOWER"},
    ),
    "conv 3d": ("Conv", {"x": floats(1, 2, 5, 6, 7), "w": floats(3, 2, 2, 3, 1)}, {"pads": [1, 0, 2, 0, 1, 0]}),
    "transposed conv 1d": (
        "ConvTranspose",
        {"x": floats(1, 4, 5), "w": floats(4, 3, 3)},
        {"strides": [2], "output_padding": [1], "pads": [1, 0]},
    ),
    "transposed conv grouped": (
        "ConvTranspose",
        {"x": floats(1, 4, 3, 5), "w": floats(4, 2, 3, 3), "b": floats(4)},
        {"group": 2, "strides": [2, 3], "output_shape": [8, 14]},
    ),
    "max pool ceil": (
        "MaxPool",
        {"x": floats(1, 2, 10, 7)},
        {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1},
    ),
    "average pool ceil": (
        "AveragePool",
        {"x": floats(1, 2, 10, 7)},
        {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1, "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    "lp pool": ("LpPool", {"x": floats(1, 2, 9)}, {"kernel_shape": [4], "strides": [3], "p": 3}),
    "instance norm": (
        "InstanceNormalization",
        {"x": floats(2, 3, 5), "s": floats(3), "b": floats(3)},
        {"epsilon": 0.1},
    ),
    "group norm": ("GroupNormalization", {"x": floats(2, 6, 5), "s": floats(6), "b": floats(6)}, {"num_groups": 3}),
    "lrn": ("LRN", {"x": floats(1, 7, 3, 3)}, {"size": 5, "alpha": 0.5, "beta": 0.6, "bias": 2.0}),
    "layer norm broadcast": ("LayerNormalization", {"x": floats(2, 3, 5), "s": floats(1)}, {"axis": 1}),
    "softplus far out": ("Softplus", {"x": np.array([-120, -5, 0, 5, 120], np.float32)}, {}),
    "mish far out": ("Mish", {"x": np.array([-80, -15, -1, 0, 30, 90], np.float32)}, {}),
    "prelu": ("PRelu", {"x": floats(2, 3, 4), "s": floats(3, 1)}, {}),
    "integer division": ("Div", {"x": np.array([-7, 7, -7, 7], np.int32), "y": np.array([2, 2, -2, -2], np.int32)}, {}),
    "remainder": ("Mod", {"x": np.array([-7, 7, -7, 7], np.int32), "y": np.array([3, 3, -3, -3], np.int32)}, {}),
    "maximum of NaN": (
        "Max",
        {"x": np.array([np.nan, 1, 2], np.float32), "y": np.array([0, np.nan, 1], np.float32)},
        {},
    ),
    "round": ("Round", {"x": np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)}, {}),
    "where": ("Where", {"c": RNG.random((3, 1)) > 0.5, "x": floats(3, 4), "y": floats(4)}, {}),
    "einsum": ("Einsum", {"x": floats(2, 3, 4), "y": floats(2, 5, 4)}, {"equation": "bij, bkj -> bik"}),
    "gemm": (
        "Gemm",
        {"a": floats(5, 3), "b": floats(7, 5), "c": floats(7)},
        {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0},
    ),
    "matmul of vectors": ("MatMul", {"a": floats(5), "b": floats(2, 5, 3)}, {}),
    "gather": ("Gather", {"x": floats(4, 5), "i": np.array([[0, -1], [2, -4]])}, {"axis": 0}),
    "scatter": (
        "ScatterElements",
        {"x": floats(3, 4), "i": np.array([[0, -1], [2, 0]]), "u": floats(2, 2)},
        {"axis": 1, "reduction": "add"},
    ),
    "scatter nd": (
        "ScatterND",
        {"x": floats(4, 3), "i": np.array([[-1], [0]]), "u": floats(2, 3)},
        {"reduction": "mul"},
    ),
    "depth to space": ("DepthToSpace", {"x": floats(1, 12, 2, 3)}, {"blocksize": 2, "mode": "CRD"}),
    "transpose": ("Transpose", {"x": floats(2, 3, 4, 5)}, {"perm": [3, 1, 0, 2]}),
    "log sum exp of large numbers": ("ReduceLogSumExp", {"x": floats(3, 4) * 500}, {"keepdims": 0}),
}
INTEGERS = {"integer division", "remainder"}


@pytest.mark.parametrize("name", CASES)
def test_agrees(name: str) -> None:
    op_type, inputs, attributes = CASES[name]
    outputs = ["int32"] if name in INTEGERS else ["float32"]
    check_model(make_model(op_type, inputs, outputs=outputs, **attributes), inputs, rtol=1e-4, atol=1e-5)


FROZEN: dict[str, tuple[str, dict[str, np.ndarray | None], list[str], dict[str, Any]]] = {
    "slice backwards": (
        "Slice",
        {
            "x": floats(5, 7),
            "s": np.array([-1, 6]),
            "e": np.array([-9, 0]),
            "a": np.array([0, 1]),
            "t": np.array([-2, -3]),
        },
        ["s", "e", "a", "t"],
        {},
    ),
    "pad and crop": ("Pad", {"x": floats(4, 5), "p": np.array([2, -1, -1, 3])}, ["p"], {}),
    "pad by wrapping": ("Pad", {"x": floats(3, 4), "p": np.array([4, 1, 0, 9])}, ["p"], {"mode": "wrap"}),
    "pad by reflection": ("Pad", {"x": floats(3, 4), "p": np.array([2, 3, 1, 0])}, ["p"], {"mode": "reflect"}),
    "tile": ("Tile", {"x": floats(2, 3), "r": np.array([3, 2])}, ["r"], {}),
    "expand": ("Expand", {"x": floats(3, 1), "s": np.array([2, 1, 4])}, ["s"], {}),
    "reduce two axes": ("ReduceProd", {"x": floats(2, 3, 4), "a": np.array([-1, 0])}, ["a"], {"keepdims": 0}),
    "linear resize down": (
        "Resize",
        {"x": floats(1, 2, 7, 5), "r": None, "s": np.array([1, 1, 0.6, 0.9], np.float32)},
        ["s"],
        {"mode": "linear"},
    ),
    "cubic resize": (
        "Resize",
        {"x": floats(1, 1, 4, 5), "r": None, "s": None, "z": np.array([1, 1, 9, 7])},
        ["z"],
        {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel"},
    ),
}


@pytest.mark.parametrize("name", FROZEN)
def test_agrees_with_frozen_inputs(name: str) -> None:
    op_type, inputs, freeze, attributes = FROZEN[name]
    check_model(make_model(op_type, inputs, **attributes), inputs, freeze=freeze, rtol=1e-4, atol=1e-5)


def test_top_k_is_stable() -> None:
    inputs = {"x": np.array([[3, 1, 3, 2, 3, 1, 2]], np.float32), "k": np.array([5])}
    check_model(make_model("TopK", inputs, outputs=["float32", "int64"], largest=0), inputs, freeze=["k"])


def test_a_large_axis_is_sorted() -> None:
    inputs = {"x": floats(2, 1500), "k": np.array([1500])}
    check_model(make_model("TopK", inputs, outputs=["float32", "int64"]), inputs, freeze=["k"])


def test_indices_outside_do_not_read_foreign_memory() -> None:
    """ONNX calls them an error; a library on a device must at least stay inside its tensor."""
    inputs = {"x": floats(3, 2), "i": np.array([99, -99])}
    model = make_model("Gather", inputs)
    check_model(model, inputs, expected=[inputs["x"][[2, 0]]])


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "message"),
    [
        ("Conv", {"x": floats(1, 3, 8, 8), "w": floats(4, 3, 3, 3)}, {"strides": [0, 1]}, "at least 1"),
        ("Conv", {"x": floats(1, 3, 8, 8), "w": floats(4, 3, 3, 3)}, {"pads": [1, 1]}, "2 dimensions"),
        ("MaxPool", {"x": floats(1, 1, 2, 2)}, {"kernel_shape": [3, 3]}, "fits"),
        ("Transpose", {"x": floats(2, 3)}, {"perm": [0, 0]}, "permutation"),
        ("Softmax", {"x": floats(2, 3)}, {"axis": 5}, "Softmax"),
        ("Concat", {"x": floats(2, 3), "y": floats(3, 4)}, {"axis": 0}, "Concat"),
        ("Add", {"x": floats(2, 3), "y": floats(4)}, {}, "Add"),
    ],
)
def test_wrong_attributes_are_one_line(
    op_type: str, inputs: dict[str, np.ndarray], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises((InvalidModelError, UnsupportedModelError), match=message) as error:
        load_onnx(make_model(op_type, inputs, **attributes))
    assert "the_node" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
