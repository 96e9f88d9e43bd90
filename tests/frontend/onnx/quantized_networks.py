"""Small networks quantized by ONNX Runtime's own tools, and ONNX Runtime's answers for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

IMAGE = (16, 3, 17, 15)
TOKENS = (2, 9, 16)


class GraphWriter:
    """Collects nodes and random weights of a graph with the input `x`."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def constant(self, name: str, array: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, name: str, *shape: int, fan_in: int) -> str:
        values = self._random.standard_normal(shape) * (2 / fan_in) ** 0.5
        return self.constant(name, values.astype(np.float32))

    def node(self, op_type: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        return name

    def model(self, shape: tuple[int, ...], outputs: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
        x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
        results = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims) for name, dims in outputs.items()]
        graph = helper.make_graph(self.nodes, "network", [x], results, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def convolutional() -> onnx.ModelProto:
    """Convolutions (plain, depthwise, pointwise), residual sum, concat, gate, pooling, classifier.

    Outputs: the last feature map, and ten logits. AveragePool is left out: means of few levels lie exactly between
    two steps so often that any order of summation changes percents of them.
    """
    g = GraphWriter()
    x = g.node(
        "Conv", ["x", g.weight("w1", 8, 3, 3, 3, fan_in=27), g.weight("b1", 8, fan_in=200)], "c1", strides=[2, 2]
    )
    x = g.node("Relu", [x], "r1")
    y = g.node("Conv", [x, g.weight("w2", 8, 1, 3, 3, fan_in=9)], "c2", pads=[1, 1, 1, 1], group=8)
    y = g.node("Clip", [y, g.constant("low", np.float32(0)), g.constant("high", np.float32(6))], "relu6")
    y = g.node("Conv", [y, g.weight("w3", 8, 8, 1, 1, fan_in=8), g.weight("b3", 8, fan_in=200)], "c3")
    x = g.node("Add", [x, y], "sum")
    x = g.node("Concat", [x, y], "joined", axis=1)
    x = g.node("MaxPool", [x], "pooled", kernel_shape=[2, 2], strides=[2, 2])
    gate = g.node("Sigmoid", [g.node("Conv", [x, g.weight("w4", 16, 16, 1, 1, fan_in=16)], "c4")], "gate")
    x = g.node("LeakyRelu", [g.node("Mul", [x, gate], "gated")], "features", alpha=0.1)
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x], "mean")], "flat")
    g.node("Gemm", [x, g.weight("w5", 10, 16, fan_in=16), g.weight("b5", 10, fan_in=200)], "logits", transB=1)
    return g.model(IMAGE, {"features": (16, 16, 4, 3), "logits": (16, 10)})


def transformer() -> onnx.ModelProto:
    """One encoder layer of 4 heads over 9 tokens of 16 numbers."""
    g = GraphWriter()

    def norm(x: str, name: str) -> str:
        gain = g.constant(f"{name}_gain", np.linspace(0.5, 1.5, 16, dtype=np.float32))
        return g.node("LayerNormalization", [x, gain, g.weight(f"{name}_bias", 16, fan_in=200)], name, axis=-1)

    def linear(x: str, name: str, fan_in: int, fan_out: int) -> str:
        product = g.node("MatMul", [x, g.weight(f"{name}_weight", fan_in, fan_out, fan_in=fan_in)], f"{name}_product")
        return g.node("Add", [product, g.weight(f"{name}_bias", fan_out, fan_in=200)], name)

    def heads(name: str, order: list[int]) -> str:
        split = g.node("Reshape", [linear("x", name, 16, 16), "heads"], f"{name}_split")
        return g.node("Transpose", [split], f"{name}_heads", perm=order)

    g.constant("heads", np.array([0, 0, 4, 4]))
    query, key, value = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
    scores = g.node("Mul", [g.node("MatMul", [query, key], "raw"), g.constant("half", np.float32(0.5))], "scores")
    mixed = g.node("MatMul", [g.node("Softmax", [scores], "shares", axis=-1), value], "mixed")
    joined = g.node(
        "Reshape", [g.node("Transpose", [mixed], "back", perm=[0, 2, 1, 3]), g.constant("all", [0, 0, 16])], "joined"
    )
    x = norm(g.node("Add", ["x", linear(joined, "output", 16, 16)], "residual"), "norm")
    hidden = g.node("Relu", [linear(x, "wide", 16, 64)], "hidden")
    norm(g.node("Add", [x, linear(hidden, "narrow", 64, 16)], "residual2"), "result")
    return g.model(TOKENS, {"result": TOKENS})


def feed_forward(width: int, wide: int) -> onnx.ModelProto:
    """Two products with biases that are sums of their own, a function between them, and a residual sum; 5 tokens."""
    g = GraphWriter()
    shape = (1, 5, width)
    first = g.node("MatMul", ["x", g.weight("w1", width, wide, fan_in=width)], "first")
    biased = g.node("Add", [first, g.weight("b1", wide, fan_in=20)], "biased")
    hidden = g.node("Mul", [biased, g.node("Sigmoid", [biased], "gate")], "hidden")
    second = g.node("MatMul", [hidden, g.weight("w2", wide, width, fan_in=wide)], "second")
    total = g.node("Add", [g.node("Add", [second, g.weight("b2", width, fan_in=20)], "narrow"), "x"], "total")
    third = g.node("MatMul", [total, g.weight("w3", width, wide, fan_in=width)], "third")
    g.node("Reshape", [g.node("Sigmoid", [third], "function"), g.constant("flat", [5, wide])], "result")
    return g.model(shape, {"result": (5, wide)})


def inputs_like(shape: tuple[int, ...], count: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """`count` standard normal inputs."""
    random = np.random.default_rng(seed)
    return ({"x": random.standard_normal(shape).astype(np.float32)} for _ in range(count))


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the quantizer's advice (to preprocess the model) out of the log."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def quantize_static(proto: onnx.ModelProto, folder: Path, shape: tuple[int, ...], **options: Any) -> Path:
    """The file of `proto` quantized with ranges from four inputs of `shape`."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._inputs = inputs_like(shape, 4, seed=1)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._inputs, None)

    path = folder / "quantized.onnx"
    with quiet():
        quantization.quantize_static(proto, path, Reader(), **options)
    return path


def quantize_dynamic(proto: onnx.ModelProto, folder: Path, **options: Any) -> Path:
    """The file of `proto` with int8 weights, whose activations are quantized when it runs."""
    from onnxruntime import quantization

    path = folder / "quantized.onnx"
    with quiet():
        quantization.quantize_dynamic(proto, path, **options)
    return path


def exact_runner(path: Path, *, fused: bool = False) -> Callable[[dict[str, np.ndarray]], list[np.ndarray]]:
    """ONNX Runtime on the model as it is written, or fused, in the mode whose sums do not saturate on any x86."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if fused else levels.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)
