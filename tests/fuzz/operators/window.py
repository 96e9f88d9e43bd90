"""Pooling and resizing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tests.fuzz.builder import GraphBuilder, like
from tests.fuzz.operators.operator import Operator
from tests.fuzz.values import Value, rounding


def pool(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        x = graph.pick(("float32",), (3, 5), most=1024)
        batch, channels, *sizes = x.shape
        spatial = len(sizes)
        kernel = [graph.integer(1, min(3, size)) for size in sizes]
        strides = [graph.choose([1, 2, 3]) for _ in sizes]
        # A window never lies in the padding alone: its average would be 0/0.
        pads = [graph.integer(0, (kernel[i % spatial] - 1) // 2) for i in range(2 * spatial)]
        attributes: dict[str, object] = {"kernel_shape": kernel, "strides": strides, "pads": pads}
        room = [sizes[i] + pads[i] + pads[i + spatial] - kernel[i] for i in range(spatial)]
        extents = [room[i] // strides[i] + 1 for i in range(spatial)]
        rounded_up = [-(-room[i] // strides[i]) + 1 for i in range(spatial)]
        # A last window that starts beyond the data is counted by some versions of the operator and left out by others.
        within = all((n - 1) * strides[i] < sizes[i] + pads[i] for i, n in enumerate(rounded_up))
        if op_type == "MaxPool" and within and graph.flag():
            attributes["ceil_mode"] = 1
            extents = rounded_up
        if op_type == "AveragePool":
            attributes["count_include_pad"] = graph.integer(0, 1)
        low, high, error = x.low, x.high, x.error
        if op_type == "AveragePool":
            low, high = min(low, 0.0), max(high, 0.0)
            error += rounding(x.dtype, x.magnitude, math.prod(kernel))
        graph.node(op_type, [x], [Value("", (batch, channels, *extents), x.dtype, low, high, error)], **attributes)

    return build


def pool_globally(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        x = graph.pick(("float32",), (3, 5))
        out = like(x, shape=(*x.shape[:2], *(1,) * (x.rank - 2)))
        if op_type == "GlobalAveragePool":
            out = like(out, error=x.error + rounding(x.dtype, x.magnitude, math.prod(x.shape[2:])))
        graph.node(op_type, [x], [out])

    return build


def resize(graph: GraphBuilder) -> None:
    """Nearest takes scales that are powers of two: others put samples on ties that rounding decides."""
    x = graph.pick(("float32",), (3, 4), most=512)
    mode = graph.choose(["nearest", "linear"])
    spatial = x.rank - 2
    options = [2.0, 1.0, 0.5, 4.0] if mode == "nearest" else [2.0, 1.0, 0.5, 3.0, 1.5]
    scales = [float(graph.choose(options)) for _ in range(spatial)]
    scales = [1.0 if int(size * scale) < 1 else scale for size, scale in zip(x.shape[2:], scales, strict=True)]
    sizes = [int(size * scale) for size, scale in zip(x.shape[2:], scales, strict=True)]
    exact_sizes = all(size * scale == int(size * scale) for size, scale in zip(x.shape[2:], scales, strict=True))
    transformations = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    if not exact_sizes:
        # With the length before or after rounding? ONNX's reference and ONNX Runtime differ on these two.
        transformations = transformations[:2]
    transformation = graph.choose(transformations)
    if mode == "nearest" and transformation == "align_corners":
        transformation = "asymmetric"
    attributes: dict[str, object] = {"mode": mode, "coordinate_transformation_mode": transformation}
    if mode == "nearest":
        attributes["nearest_mode"] = graph.choose(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
    if exact_sizes and graph.flag():
        operands = [x, None, None, graph.integers([*x.shape[:2], *sizes])]
    else:
        operands = [x, None, graph.constant(np.asarray([1.0, 1.0, *scales], np.float32))]
    # Positions are computed in float32: off by an epsilon of the longest axis, times the step between neighbours.
    error = (
        0.0
        if mode == "nearest"
        else 2 * x.magnitude * 16 * spatial * 2.0**-23 * max(x.shape) + rounding(x.dtype, x.magnitude, 4)
    )
    out = like(x, shape=(*x.shape[:2], *sizes), error=x.error + error)
    graph.node("Resize", operands, [out], **attributes)


OPERATORS = (
    Operator("MaxPool", pool("MaxPool")),
    Operator("AveragePool", pool("AveragePool")),
    Operator("GlobalAveragePool", pool_globally("GlobalAveragePool")),
    Operator("GlobalMaxPool", pool_globally("GlobalMaxPool")),
    Operator("Resize", resize),
)
