"""The integer program in NumPy, operator by operator: what every artifact must answer, bit for bit.

Sums are taken in int64, so that a sum that left int32 on a device would show as a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax

from edgecompile.errors import UnsupportedModelError
from edgecompile.integer import operators
from edgecompile.integer.dynamic import quantize_rows_array
from edgecompile.integer.layer_norm import layer_norm_array
from edgecompile.integer.moved_arrays import MOVED_ARRAYS, axes_of
from edgecompile.integer.requantization import FixedPoint, scale_array
from edgecompile.integer.softmax import softmax_array

_Operator = Callable[[relax.Call, Sequence[Any]], Any]


def run_reference(module: tvm.IRModule, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of `main`, a dataflow of integer operators with conversions at its ends.

    Args:
        module: after `FuseIntegerOperators`.
        inputs: in the order of `main`'s parameters.

    Raises:
        UnsupportedModelError: an operator has no definition here.
    """
    main = module["main"]
    values: dict[relax.Var, Any] = dict(zip(main.params, inputs, strict=True))
    for block in main.body.blocks:
        for binding in block.bindings:
            values[binding.var] = _value(binding.value, values)
    result = _value(main.body.body, values)
    return list(result) if isinstance(result, tuple) else [result]


def _value(value: relax.Expr, values: Mapping[relax.Var, Any]) -> Any:
    if isinstance(value, relax.Var):
        return values[value]
    if isinstance(value, tvm.ir.GenericConst):
        return value.value.numpy()
    if isinstance(value, relax.Tuple):
        return tuple(_value(field, values) for field in value.fields)
    if isinstance(value, relax.TupleGetItem):
        return _value(value.tuple_value, values)[value.index]
    if isinstance(value, relax.ShapeExpr):
        return tuple(int(extent) for extent in value.values)
    if isinstance(value, tvm.tirx.IntImm):
        return int(value)
    if isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) and value.op.name in _OPERATORS:
        return _OPERATORS[value.op.name](value, [_value(argument, values) for argument in value.args])
    name = getattr(getattr(value, "op", None), "name", type(value).__name__)
    raise UnsupportedModelError(f"the integer reference needs a definition of {name}, found none")


def _conv2d(call: relax.Call, arguments: Sequence[Any]) -> np.ndarray:
    x, weight, bias = arguments
    numbers = operators.attributes(call)
    groups, strides, dilation = numbers["groups"], numbers["strides"], numbers["dilation"]
    top, left, bottom, right = numbers["padding"]
    centred = np.pad(x.astype(np.int64) - numbers["zero_point"], ((0, 0), (0, 0), (top, bottom), (left, right)))
    extents = [(extent - 1) * step + 1 for extent, step in zip(weight.shape[2:], dilation, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(centred, extents, axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilation[0], :: dilation[1]]
    images, channels, height, width = windows.shape[:4]
    out_channels = weight.shape[0]
    grouped = windows.reshape(images, groups, channels // groups, height, width, *weight.shape[2:])
    factors = weight.astype(np.int64).reshape(groups, out_channels // groups, *weight.shape[1:])
    sums = np.einsum("ngchwij,gkcij->ngkhw", grouped, factors, optimize=True)
    return _int32(sums.reshape(images, out_channels, height, width) + bias.reshape(1, -1, 1, 1))


def _matmul(call: relax.Call, arguments: Sequence[Any]) -> np.ndarray:
    numbers = operators.attributes(call)
    a, b = (
        argument.astype(np.int64).transpose(numbers[axes] or range(argument.ndim))
        for argument, axes in zip(arguments, ("axes", "other_axes"), strict=True)
    )
    return _int32((a - numbers["zero_point"]) @ (b - numbers["other_zero_point"]))


def _requantize(call: relax.Call, arguments: Sequence[Any]) -> np.ndarray:
    x, multiplier, places = arguments
    numbers = operators.attributes(call)
    shift = FixedPoint.shift_of(places, is_short=bool(numbers["is_short"]))
    shape = [-1 if position == numbers["axis"] else 1 for position in range(x.ndim)] if multiplier.ndim else []
    centred = x.astype(np.int64) - numbers["input_zero_point"]
    scaled = scale_array(centred, multiplier.reshape(shape), shift.reshape(shape))
    return np.clip(scaled + numbers["zero_point"], numbers["low"], numbers["high"]).astype(numbers["dtype"])


def _add(call: relax.Call, arguments: Sequence[Any]) -> np.ndarray:
    numbers = operators.attributes(call)
    terms = [
        (tensor.astype(np.int64) - zero_point) * multiplier
        for tensor, zero_point, multiplier in zip(
            arguments, numbers["zero_points"], numbers["multipliers"], strict=True
        )
    ]
    scaled = scale_array(terms[0] + terms[1], np.array(1), np.array(numbers["shift"]))
    return np.clip(scaled + numbers["zero_point"], numbers["low"], numbers["high"]).astype(np.int8)


def _multiply(call: relax.Call, arguments: Sequence[Any]) -> np.ndarray:
    numbers = operators.attributes(call)
    first, second = (
        tensor.astype(np.int64) - zero for tensor, zero in zip(arguments, numbers["zero_points"], strict=True)
    )
    scaled = scale_array(first * second, np.array(numbers["multiplier"]), np.array(numbers["shift"]))
    return np.clip(scaled + numbers["zero_point"], numbers["low"], numbers["high"]).astype(np.int8)


def _resample(call: relax.Call, arguments: Sequence[Any]) -> np.ndarray:
    x, rows, row_weights, columns, column_weights = arguments
    centred = x.astype(np.int64) - operators.attributes(call)["zero_point"]
    lines = np.einsum("nchiw,hi->nchw", centred[:, :, rows], row_weights)
    return _int32(np.einsum("nchwj,wj->nchw", lines[..., columns], column_weights))


def _quantize(call: relax.Call, arguments: Sequence[Any]) -> np.ndarray:
    data, scale, zero_point = arguments
    dtype = np.dtype(str(call.ty.dtype))
    axis = int(call.attrs.axis) % max(data.ndim, 1)
    steps = np.rint(data / _along(scale, axis, data.ndim)) + _along(zero_point, axis, data.ndim).astype(np.float32)
    limits = np.iinfo(dtype)
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def _dequantize(call: relax.Call, arguments: Sequence[Any]) -> np.ndarray:
    data, scale, zero_point = arguments
    axis = int(call.attrs.axis) % max(data.ndim, 1)
    centred = data.astype(np.int32) - _along(zero_point, axis, data.ndim).astype(np.int32)
    return np.asarray(centred.astype(np.float32) * _along(scale, axis, data.ndim))


def _int32(sums: np.ndarray) -> np.ndarray:
    assert np.abs(sums).max(initial=0) < 2**31
    return sums.astype(np.int32)


def _along(parameter: np.ndarray, axis: int, rank: int) -> np.ndarray:
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if position == axis else 1 for position in range(rank)])


_OPERATORS: Mapping[str, _Operator] = {
    operators.CONV2D: _conv2d,
    operators.MATMUL: _matmul,
    operators.REQUANTIZE: _requantize,
    operators.ADD: _add,
    operators.MULTIPLY: _multiply,
    operators.RESAMPLE: _resample,
    operators.LOOKUP: lambda call, values: values[1][values[0].astype(np.int32) + 128],
    operators.QUANTIZE_ROWS: lambda call, values: quantize_rows_array(values[0], **operators.attributes(call)),
    operators.SOFTMAX: lambda call, values: softmax_array(*values, **operators.attributes(call)),
    operators.LAYER_NORM: lambda call, values: layer_norm_array(*values, **operators.attributes(call)),
    "relax.quantize": _quantize,
    "relax.dequantize": _dequantize,
    "relax.add": lambda call, values: values[0] + values[1],
    "relax.multiply": lambda call, values: values[0] * values[1],
    "relax.divide": lambda call, values: values[0] / values[1],
    "relax.minimum": lambda call, values: np.minimum(values[0], values[1]),
    "relax.nn.relu": lambda call, values: np.maximum(values[0], 0),
    "relax.right_shift": lambda call, values: values[0] >> values[1],
    "relax.bitwise_and": lambda call, values: values[0] & values[1],
    "relax.maximum": lambda call, values: np.maximum(values[0], values[1]),
    "relax.subtract": lambda call, values: values[0] - values[1],
    "relax.astype": lambda call, values: values[0].astype(str(call.ty.dtype)),
    "relax.sum": lambda call, values: values[0].sum(
        axis=axes_of(call), keepdims=bool(call.attrs.keepdims), dtype=values[0].dtype
    ),
    "relax.concat": lambda call, values: np.concatenate(values[0], axis=int(call.attrs.axis)),
    **MOVED_ARRAYS,
}
