"""A factor and an offset for each channel of a quantized tensor: a depthwise product of one pixel."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer import operators
from edgecompile.passes.channel_affine import read_channel_affine
from edgecompile.passes.integers.graph import Graph
from edgecompile.passes.integers.output import Output

_WEIGHT = 127  # its scale takes the factor exactly; the offset is rounded to so small a part of a step


def scaled_channels(output: Output, graph: Graph) -> relax.Expr | None:
    """`quantize(x * factor + offset)`, batch norm behind a concatenation, say -> integer sums, requantized.

    A factor so small that no step of x matters is a weight of zero, whose sum is the offset.
    """
    affine = read_channel_affine(
        output.data, lambda value: graph.call(value, "add", "subtract", "multiply", "divide"), graph.is_used_once
    )
    if affine is None or not graph.is_used_once(output.data):
        return None
    x = graph.quantized(affine.base)
    if x is None or not x.is_per_tensor or isinstance(x.value, tvm.ir.GenericConst):
        return None
    scales = float(x.scale) * np.abs(affine.factor) / _WEIGHT
    is_nothing = scales * _WEIGHT * 256 < output.scale * 2**-10
    scales = np.where(is_nothing, output.scale / _WEIGHT, scales)
    signs = np.where(is_nothing, 0, np.sign(affine.factor))
    steps = np.rint(affine.offset / scales)
    if np.abs(steps).max() >= 2**30:
        return None
    channels = len(scales)
    sums = operators.conv2d(
        x.value,
        relax.const((signs * _WEIGHT).astype(np.int8).reshape(channels, 1, 1, 1), "int8"),
        relax.const(steps.astype(np.int32), "int32"),
        strides=[1, 1],
        padding=[0, 0, 0, 0],
        dilation=[1, 1],
        groups=channels,
        zero_point=x.zero_point,
    )
    return output.requantized(graph.emit(sums, f"{output.data.name}_sums"), scales, axis=1)
