"""QuantizeLinear and DequantizeLinear, per tensor and per channel."""

from __future__ import annotations

import numpy as np

from tests.fuzz.builder import GraphBuilder, like
from tests.fuzz.operators.operator import Operator
from tests.fuzz.values import Value, rounding


def _scale(graph: GraphBuilder, x: Value, dtype: str) -> tuple[Value, Value | None, dict[str, object], np.ndarray]:
    """Powers of two: then x / scale is exact however it is computed, and so is the rounding."""
    per_channel = x.rank >= 2 and graph.flag()
    shape = (x.shape[1],) if per_channel else ()
    scale = np.asarray(2.0 ** graph.random.integers(-5, -2, size=shape), np.float32)
    zero = np.asarray(
        graph.random.integers(100, 140, size=shape) if dtype == "uint8" else graph.random.integers(-10, 11, size=shape),
        dtype,
    )
    zero_point = graph.constant(zero) if dtype == "uint8" or graph.flag() else graph.constant(np.zeros_like(zero))
    return graph.constant(scale), zero_point, {"axis": 1} if per_channel else {}, scale


def quantize(graph: GraphBuilder) -> None:
    x = graph.pick(("float32",), (0, 4), exact=True)
    dtype = str(graph.choose(["int8", "uint8"]))
    scale, zero_point, attributes, _ = _scale(graph, x, dtype)
    low, high = (0, 255) if dtype == "uint8" else (-128, 127)
    graph.node("QuantizeLinear", [x, scale, zero_point], [like(x, dtype=dtype, low=low, high=high)], **attributes)


def dequantize(graph: GraphBuilder) -> None:
    x = graph.pick(("int8", "uint8"), (0, 4))
    scale, zero_point, attributes, numbers = _scale(graph, x, x.dtype)
    bound = 300 * float(numbers.max())
    out = like(x, dtype="float32", low=-bound, high=bound)
    graph.node("DequantizeLinear", [x, scale, zero_point], [out], **attributes)


def fake_quantize(graph: GraphBuilder) -> None:
    """The pair, as a quantization-aware exporter writes it; off by at most one step where the operand is not exact."""
    x = graph.pick(("float32",), (1, 4), exact=True)
    step = 2.0**-5
    scale, zero = graph.constant(np.asarray(step, np.float32)), graph.constant(np.asarray(0, np.int8))
    (levels,) = graph.node("QuantizeLinear", [x, scale, zero], [like(x, dtype="int8", low=-128, high=127)])
    out = like(x, low=-4.0, high=4.0, error=rounding("float32", 0.0))
    graph.node("DequantizeLinear", [levels, scale, zero], [out])


OPERATORS = (
    Operator("QuantizeLinear", quantize),
    Operator("DequantizeLinear", dequantize),
    Operator("QuantizeLinear+DequantizeLinear", fake_quantize),
)
