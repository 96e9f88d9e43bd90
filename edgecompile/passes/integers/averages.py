"""Averages of pixels, and pixels between others: integer sums, whose denominator is part of the scale."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer import operators
from edgecompile.integer.resampling import Taps, adaptive_taps, linear_taps, window_taps
from edgecompile.passes.integers.graph import Graph
from edgecompile.passes.integers.output import Output
from edgecompile.resizing import COORDINATES, Axis

_LARGEST_DIFFERENCE = 255  # of an int8 number and a zero point


def averaged(output: Output, graph: Graph) -> relax.Expr | None:
    """A mean over axes, or a pooling of whole images -> an integer sum."""
    call = graph.call(output.data, "mean", "nn.adaptive_avg_pool2d", "nn.avg_pool2d")
    if call is None:
        return None
    shape = [int(extent) for extent in call.args[0].ty.shape.values]
    if call.op.name == "relax.mean":
        axes = [int(axis) % len(shape) for axis in call.attrs.axis or range(len(shape))]
        keeps = bool(call.attrs.keepdims)
    else:
        if str(call.attrs.layout) != "NCHW" or not _takes_all(call, shape):
            return None
        axes, keeps = [2, 3], True
    x = graph.quantized(call.args[0])
    if x is None or not x.is_per_tensor or isinstance(x.value, tvm.ir.GenericConst):
        return None
    count = int(np.prod([shape[axis] for axis in axes]))
    total = graph.emit(relax.op.sum(graph.emit(relax.op.astype(x.value, "int32"), "wide"), axes, keeps), "total")
    return output.requantized(total, x.scale / count, input_zero_point=x.zero_point * count)


def resampled(output: Output, graph: Graph) -> relax.Expr | None:
    """Average pooling by windows or to a size, and linear resizing -> sums of weighted pixels.

    Windows at borders hold fewer pixels than others: all sums are brought to one denominator, without rounding.
    """
    call = graph.call(output.data, "nn.avg_pool2d", "nn.adaptive_avg_pool2d", "image.resize2d")
    if call is None or str(call.attrs.layout) != "NCHW":
        return None
    axes = [_taps(call, axis) for axis in (2, 3)]
    x = graph.quantized(call.args[0])
    if x is None or not x.is_per_tensor or isinstance(x.value, tvm.ir.GenericConst):
        return None
    rows, columns = axes
    if rows is None or columns is None or rows.largest_sum * columns.largest_sum * _LARGEST_DIFFERENCE >= 2**31:
        return None
    sums = graph.emit(operators.resample(x.value, rows, columns, zero_point=x.zero_point), f"{output.data.name}_sums")
    return output.requantized(sums, x.scale / (rows.denominator * columns.denominator))


def _takes_all(call: relax.Call, shape: list[int]) -> bool:
    """True where the one window of a pooling is the image."""
    if [int(extent) for extent in call.ty.shape.values[2:]] != [1, 1]:
        return False
    if call.op.name == "relax.nn.adaptive_avg_pool2d":
        return True
    attributes = call.attrs
    numbers = [int(n) for n in (*attributes.pool_size, *attributes.padding, *attributes.dilation)]
    return numbers == [*shape[2:], 0, 0, 0, 0, 1, 1]


def _taps(call: relax.Call, axis: int) -> Taps | None:
    """How the outputs along one axis, 2 or 3, are made of pixels; None where tables of this project do not say it."""
    extent, out_extent = (int(value.ty.shape.values[axis]) for value in (call.args[0], call))
    attributes = call.attrs
    match call.op.name:
        case "relax.nn.adaptive_avg_pool2d":
            return adaptive_taps(extent, out_extent)
        case "relax.nn.avg_pool2d":
            return window_taps(
                extent,
                out_extent,
                size=int(attributes.pool_size[axis - 2]),
                stride=int(attributes.strides[axis - 2]),
                dilation=int(attributes.dilation[axis - 2]),
                before=int(attributes.padding[axis - 2]),
                counts_padding=bool(attributes.count_include_pad),
            )
    coordinates = str(attributes.coordinate_transformation_mode)
    if str(attributes.method) != "linear" or coordinates not in COORDINATES:
        return None
    if coordinates == "align_corners" and 1 in (int(n) for n in call.ty.shape.values[2:]):
        return None  # the operator divides by zero
    return linear_taps(Axis(extent, out_extent, "linear", coordinates, str(attributes.rounding_method)))
