"""The types of the integer operators' results."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer import formulas
from edgecompile.integer.operators.names import (
    ADD,
    CONV2D,
    LAYER_NORM,
    LOOKUP,
    MATMUL,
    MULTIPLY,
    QUANTIZE_ROWS,
    REQUANTIZE,
    RESAMPLE,
    SOFTMAX,
    attributes,
    shape_of,
)


def _conv2d_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    x, weight = (shape_of(argument) for argument in call.args[:2])
    numbers = attributes(call)
    top, left, bottom, right = numbers["padding"]
    extents = [
        (size + before + after - (kernel - 1) * dilation - 1) // stride + 1
        for size, before, after, kernel, dilation, stride in zip(
            x[2:], (top, left), (bottom, right), weight[2:], numbers["dilation"], numbers["strides"], strict=True
        )
    ]
    return relax.TensorType((x[0], weight[0], *extents), "int32")


def _matmul_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    numbers = attributes(call)
    a, b = (
        formulas.ordered(shape_of(x), numbers[axes]) for x, axes in zip(call.args, ("axes", "other_axes"), strict=True)
    )
    return relax.TensorType((*a[:-1], b[-1]), "int32")


def _requantize_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    return relax.TensorType(call.args[0].ty.shape, attributes(call)["dtype"])


def _pair_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    return relax.TensorType(np.broadcast_shapes(*(shape_of(argument) for argument in call.args)), "int8")


def _resample_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    (images, channels, *_), rows, _, columns, _ = (shape_of(argument) for argument in call.args)
    return relax.TensorType((images, channels, rows[0], columns[0]), "int32")


def _same_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    return relax.TensorType(call.args[0].ty.shape, "int8")


def _lookup_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    return relax.TensorType(call.args[0].ty.shape, str(call.args[1].ty.dtype))


def _quantize_rows_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TupleType:
    (x,), numbers = call.args, attributes(call)
    shape, shared = shape_of(x), numbers["shared_axes"]
    if str(x.ty.dtype) != "float32" or not 1 <= shared <= len(shape):
        raise ValueError(
            f"{QUANTIZE_ROWS} needs float32 and from 1 to {len(shape)} shared axes, found {x.ty}, {shared}"
        )
    scales = (*shape[: len(shape) - shared], *[1] * shared)
    return relax.TupleType([relax.TensorType(shape, "int8"), relax.TensorType(scales, "float32")])


TYPES: Mapping[str, Callable[[relax.Call, relax.BlockBuilder], tvm.ir.Type]] = {
    CONV2D: _conv2d_type,
    MATMUL: _matmul_type,
    REQUANTIZE: _requantize_type,
    ADD: _pair_type,
    MULTIPLY: _pair_type,
    RESAMPLE: _resample_type,
    LOOKUP: _lookup_type,
    QUANTIZE_ROWS: _quantize_rows_type,
    SOFTMAX: _same_type,
    LAYER_NORM: _same_type,
}
"""By operator: what Relax calls `FInferType`."""
