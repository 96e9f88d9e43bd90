"""The integer operators in Relax: how to call them, their types, and their loops.

Relax lets operators be registered from Python: `FInferType` answers the type of a call, `FLegalize` its loops.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer import dynamic, formulas
from edgecompile.integer.layer_norm import LayerNormNumbers
from edgecompile.integer.layer_norm import layer_norm as layer_norm_formula
from edgecompile.integer.requantization import FixedPoint
from edgecompile.integer.softmax import SoftmaxNumbers
from edgecompile.integer.softmax import softmax as softmax_formula
from edgecompile.passes.annotate_elementwise import ELEMENTWISE

if TYPE_CHECKING:
    from tvm import te

    from edgecompile.integer.resampling import Taps

Formula: TypeAlias = "Callable[..., te.Tensor | Sequence[te.Tensor]]"

CONV2D = "edgecompile.conv2d"
MATMUL = "edgecompile.matmul"
REQUANTIZE = "edgecompile.requantize"
ADD = "edgecompile.add"
MULTIPLY = "edgecompile.multiply"
RESAMPLE = "edgecompile.resample"
LOOKUP = "edgecompile.lookup"
QUANTIZE_ROWS = "edgecompile.quantize_rows"
SOFTMAX = "edgecompile.softmax"
LAYER_NORM = "edgecompile.layer_norm"
_MOST_PRODUCT_SHIFT = 31  # of 2^31 and less


def conv2d(
    x: relax.Expr,
    weight: relax.Expr,
    bias: relax.Expr,
    *,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    zero_point: int,
) -> relax.Call:
    """int32 sums, see `formulas.convolve`."""
    return _call(
        CONV2D,
        [x, weight, bias],
        strides=list(strides),
        padding=list(padding),
        dilation=list(dilation),
        groups=groups,
        zero_point=zero_point,
    )


def matmul(
    a: relax.Expr,
    b: relax.Expr,
    *,
    zero_point: int,
    other_zero_point: int,
    axes: Sequence[int] = (),
    other_axes: Sequence[int] = (),
) -> relax.Call:
    """int32 sums, see `formulas.multiply`."""
    return _call(
        MATMUL,
        [a, b],
        zero_point=zero_point,
        other_zero_point=other_zero_point,
        axes=list(axes),
        other_axes=list(other_axes),
    )


def requantize(
    x: relax.Expr,
    factor: FixedPoint,
    *,
    axis: int,
    input_zero_point: int,
    zero_point: int,
    low: int = -128,
    high: int = 127,
    dtype: str = "int8",
) -> relax.Call:
    """int8 of int32 sums, or of int8 with another scale, see `formulas.requantize`; `axis` is that of channels."""
    arguments = [x, relax.const(factor.multiplier, "int32"), relax.const(factor.places, "uint8")]
    return _call(
        REQUANTIZE,
        arguments,
        axis=axis,
        input_zero_point=input_zero_point,
        zero_point=zero_point,
        low=low,
        high=high,
        dtype=dtype,
        is_short=int(factor.is_short),
    )


def add(
    a: relax.Expr,
    b: relax.Expr,
    *,
    multipliers: tuple[int, int],
    shift: int,
    zero_points: tuple[int, int],
    zero_point: int,
    low: int = -128,
    high: int = 127,
) -> relax.Call:
    """int8 of the sum of two int8 tensors that broadcast, see `formulas.add`."""
    return _call(
        ADD,
        [a, b],
        multipliers=list(multipliers),
        shift=shift,
        zero_points=list(zero_points),
        zero_point=zero_point,
        low=low,
        high=high,
    )


def multiply(
    a: relax.Expr,
    b: relax.Expr,
    factor: FixedPoint,
    *,
    zero_points: tuple[int, int],
    zero_point: int,
    low: int = -128,
    high: int = 127,
) -> relax.Call:
    """int8 of the product, element by element, of two int8 tensors that broadcast, see `formulas.multiply_elements`.

    Args:
        factor: `[]`, below 2^14.
    """
    vanishes = int(factor.shift) > _MOST_PRODUCT_SHIFT  # below half a step, whatever the elements are
    return _call(
        MULTIPLY,
        [a, b],
        multiplier=0 if vanishes else int(factor.multiplier),
        shift=_MOST_PRODUCT_SHIFT if vanishes else int(factor.shift),
        zero_points=list(zero_points),
        zero_point=zero_point,
        low=low,
        high=high,
    )


def resample(x: relax.Expr, rows: Taps, columns: Taps, *, zero_point: int) -> relax.Call:
    """int32 sums of weighted pixels of int8 x, `[N, C, H, W]`, see `formulas.resample`."""
    tables = [relax.const(array, "int32") for taps in (rows, columns) for array in (taps.places, taps.weights)]
    return _call(RESAMPLE, [x, *tables], zero_point=zero_point)


def lookup(x: relax.Expr, table: np.ndarray) -> relax.Call:
    """`table[x + 128]` of int8 x; `table` is `[256]`."""
    return _call(LOOKUP, [x, relax.const(table, str(table.dtype))])


def quantize_rows(x: relax.Expr, *, shared_axes: int) -> relax.Call:
    """int8 of float32 x, and its scales, as a tuple; see `dynamic.quantize_rows`."""
    return _call(QUANTIZE_ROWS, [x], shared_axes=shared_axes)


def softmax(x: relax.Expr, numbers: SoftmaxNumbers) -> relax.Call:
    """int8 of int8 x, along its last axis; see `edgecompile.integer.softmax`."""
    return _call(SOFTMAX, [x], **dataclasses.asdict(numbers))


def layer_norm(x: relax.Expr, numbers: LayerNormNumbers) -> relax.Call:
    """int8 of int8 x, along its last axis; see `edgecompile.integer.layer_norm`."""
    tables = [relax.const(table, "int32") for table in (numbers.gamma, numbers.beta)]
    return _call(LAYER_NORM, [x, *tables], epsilon=numbers.epsilon, shift=numbers.shift)


def attributes(call: relax.Call) -> dict[str, Any]:
    """The attributes of a call of an operator of this module, as Python numbers, tuples and strings."""
    return {str(name): _plain(value) for name, value in call.attrs.items()}


def is_elementwise(call: relax.Call) -> bool:
    """True where each element comes from the same element of each tensor, and from tables: no tensor broadcasts.

    A constant with one number for each index of the last axis, a bias of bytes, is a table too.
    """
    if call.op.name not in (REQUANTIZE, ADD, MULTIPLY, LOOKUP):
        return False
    operands = call.args[:2] if call.op.name in (ADD, MULTIPLY) else call.args[:1]
    whole = [operand for operand in operands if not _is_table(operand, call)]
    return bool(whole) and {_shape(operand) for operand in whole} == {_shape(call)}


def formula(call: relax.Call, channel: formulas.Channel | None = None) -> Formula:
    """The call's formula, of its arguments as tensors; `channel` where elements lie in blocks."""
    return _FORMULAS[call.op.name](attributes(call), channel)


def _requantize_formula(numbers: dict[str, Any], channel: formulas.Channel | None) -> Callable[..., te.Tensor]:
    axis, is_short = numbers.pop("axis"), bool(numbers.pop("is_short"))
    place = channel or formulas.channel_of_axis(axis)
    return functools.partial(formulas.requantize, channel=place, is_short=is_short, **numbers)


_FORMULAS: Mapping[str, Callable[[dict[str, Any], formulas.Channel | None], Formula]] = {
    CONV2D: lambda numbers, channel: functools.partial(formulas.convolve, **numbers),
    MATMUL: lambda numbers, channel: functools.partial(formulas.multiply, **numbers),
    REQUANTIZE: _requantize_formula,
    ADD: lambda numbers, channel: functools.partial(formulas.add, **numbers),
    MULTIPLY: lambda numbers, channel: functools.partial(formulas.multiply_elements, **numbers),
    RESAMPLE: lambda numbers, channel: functools.partial(formulas.resample, **numbers),
    LOOKUP: lambda numbers, channel: formulas.lookup,
    QUANTIZE_ROWS: lambda numbers, channel: functools.partial(dynamic.quantize_rows, **numbers),
    SOFTMAX: lambda numbers, channel: functools.partial(softmax_formula, **numbers),
    LAYER_NORM: lambda numbers, channel: functools.partial(layer_norm_formula, **numbers),
}


@functools.cache
def register() -> None:
    """Make the operators known to TVM; done by their calls, and needed before a module that has them is read."""
    for name, infer in _TYPES.items():
        tvm.ir.register_op_attr(name, "FInferType", infer)
        tvm.ir.register_op_attr(name, "FPurity", True)
        tvm.ir.register_op_attr(name, "FLegalize", _legalize)


def _call(name: str, arguments: Sequence[relax.Expr], **attrs: object) -> relax.Call:
    register()
    return relax.Call(tvm.ir.Op.get(name), list(arguments), tvm.ir.make_node("ir.DictAttrs", **attrs))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, tvm.tirx.IntImm):
        return int(value)
    return tuple(_plain(item) for item in value)


def _legalize(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    name = call.op.name.replace("edgecompile.", "integer_")
    attrs = {ELEMENTWISE: 1} if is_elementwise(call) else None
    return builder.call_te(formula(call), *call.args, primfunc_name_hint=name, primfunc_attrs=attrs)


def _conv2d_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    x, weight = (_shape(argument) for argument in call.args[:2])
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
        formulas.ordered(_shape(x), numbers[axes]) for x, axes in zip(call.args, ("axes", "other_axes"), strict=True)
    )
    return relax.TensorType((*a[:-1], b[-1]), "int32")


def _requantize_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    return relax.TensorType(call.args[0].ty.shape, attributes(call)["dtype"])


def _pair_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    return relax.TensorType(np.broadcast_shapes(*(_shape(argument) for argument in call.args)), "int8")


def _resample_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    (images, channels, *_), rows, _, columns, _ = (_shape(argument) for argument in call.args)
    return relax.TensorType((images, channels, rows[0], columns[0]), "int32")


def _same_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    return relax.TensorType(call.args[0].ty.shape, "int8")


def _lookup_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    return relax.TensorType(call.args[0].ty.shape, str(call.args[1].ty.dtype))


def _quantize_rows_type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TupleType:
    (x,), numbers = call.args, attributes(call)
    shape, shared = _shape(x), numbers["shared_axes"]
    if str(x.ty.dtype) != "float32" or not 1 <= shared <= len(shape):
        raise ValueError(
            f"{QUANTIZE_ROWS} needs float32 and from 1 to {len(shape)} shared axes, found {x.ty}, {shared}"
        )
    scales = (*shape[: len(shape) - shared], *[1] * shared)
    return relax.TupleType([relax.TensorType(shape, "int8"), relax.TensorType(scales, "float32")])


_TYPES: Mapping[str, Callable[[relax.Call, relax.BlockBuilder], tvm.ir.Type]] = {
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


def _is_table(operand: relax.Expr, call: relax.Call) -> bool:
    """True for a constant of the extent of the last axis, and of 1 elsewhere."""
    if not isinstance(operand, tvm.ir.GenericConst) or not operand.value.shape or not _shape(call):
        return False
    return int(np.prod(_shape(operand))) == _shape(operand)[-1] == _shape(call)[-1]


def _shape(value: relax.Expr) -> tuple[int, ...]:
    return tuple(int(extent) for extent in value.ty.shape.values)
