"""Functions of two or more tensors that broadcast: arithmetic, comparison, logic, bits."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from tvm import relax, tirx

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, is_float, shape_of
from edgecompile.frontend.onnx.emit import cast, elementwise, reshape, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

_RELAX: dict[str, Callable[[relax.Expr, relax.Expr], relax.Expr]] = {
    "Add": relax.op.add,
    "And": relax.op.logical_and,
    "BitwiseAnd": relax.op.bitwise_and,
    "BitwiseOr": relax.op.bitwise_or,
    "BitwiseXor": relax.op.bitwise_xor,
    "Equal": relax.op.equal,
    "Greater": relax.op.greater,
    "GreaterOrEqual": relax.op.greater_equal,
    "Less": relax.op.less,
    "LessOrEqual": relax.op.less_equal,
    "Mul": relax.op.multiply,
    "Or": relax.op.logical_or,
    "Sub": relax.op.subtract,
    "Xor": relax.op.logical_xor,
}


@operator(*_RELAX)
def binary(context: Context, node: Node, inputs: Inputs) -> Result:
    """z = f(x, y), by the Relax operator of the same meaning."""
    return context.emit(_RELAX[node.op_type](inputs[0], inputs[1]))


@operator("Div")
def divide(context: Context, node: Node, inputs: Inputs) -> Result:
    """z = x / y; integers are divided towards zero."""
    if is_float(dtype_of(inputs[0])):
        return context.emit(relax.op.divide(inputs[0], inputs[1]))
    divisor = context.constant(inputs[1])
    if divisor is not None and np.any(divisor == 0):
        raise node.unsupported("an integer divisor other than 0 was needed, found 0")
    return elementwise(context, tirx.truncdiv, [inputs[0], inputs[1]], "truncated_divide")


@operator("Mod")
def modulo(context: Context, node: Node, inputs: Inputs) -> Result:
    """The remainder with the sign of the divisor, or with `fmod` that of the dividend, as in C."""
    if is_float(dtype_of(inputs[0])):
        if node.integer("fmod", 0):
            return _float_remainder(context, inputs)
        return _floor_remainder(context, inputs)
    function = tirx.truncmod if node.integer("fmod", 0) else tirx.floormod
    return elementwise(context, function, [inputs[0], inputs[1]], "remainder")


def _float_remainder(context: Context, inputs: Inputs) -> relax.Expr:
    """C's fmod; computed in float32 at least, since no library has a narrower one."""
    dtype = dtype_of(inputs[0])
    wide = dtype if dtype in ("float32", "float64") else "float32"
    values = [cast(context, value, wide) for value in inputs[:2]]
    return cast(context, elementwise(context, _c_remainder, values, "float_remainder"), dtype)


def _c_remainder(x: tirx.Var, y: tirx.Var) -> tirx.Var:
    dtype = str(x.ty.dtype)
    return tirx.call_pure_extern(dtype, "fmodf" if dtype == "float32" else "fmod", x, y)


def _floor_remainder(context: Context, inputs: Inputs) -> relax.Expr:
    """C's fmod, moved by one divisor where its sign is not the divisor's."""
    dtype = dtype_of(inputs[0])
    wide = dtype if dtype in ("float32", "float64") else "float32"

    def function(x: tirx.Var, y: tirx.Var) -> tirx.Var:
        rest, zero = _c_remainder(x, y), tirx.const(0, wide)
        other_sign = tirx.any(tirx.all(rest < zero, y > zero), tirx.all(rest > zero, y < zero))
        return tirx.Select(other_sign, rest + y, rest)

    values = [cast(context, value, wide) for value in inputs[:2]]
    return cast(context, elementwise(context, function, values, "floor_remainder"), dtype)


@operator("Pow")
def power(context: Context, node: Node, inputs: Inputs) -> Result:
    """z = x ** y in the dtype of x; integer bases are raised in float64, exact up to 2**53."""
    base, exponent = inputs[0], inputs[1]
    dtype = dtype_of(base)
    if is_float(dtype):
        known = context.constant(exponent)
        if known is not None and known.size == 1 and known.ndim <= len(shape_of(base)) and known.item() in (2, 3):
            square = context.emit(relax.op.multiply(base, base))
            return square if known.item() == 2 else context.emit(relax.op.multiply(square, base))
        return context.emit(relax.op.power(base, cast(context, exponent, dtype)))
    wide = [cast(context, value, "float64") for value in (base, exponent)]
    return cast(context, context.emit(relax.op.power(*wide)), dtype)


@operator("BitShift")
def bit_shift(context: Context, node: Node, inputs: Inputs) -> Result:
    """x shifted by y bits; a shift by a negative number, or by the whole width or more, moves every bit out."""
    dtype = dtype_of(inputs[0])
    bits = np.dtype(dtype).itemsize * 8
    direction = node.string("direction")

    def shift(x: tirx.Var, y: tirx.Var) -> tirx.Var:
        zero, last = tirx.const(0, dtype), tirx.const(bits - 1, dtype)
        amount = tirx.max(tirx.min(y, last), zero)
        outside = tirx.any(y > last, y < zero)
        if direction == "LEFT":
            return tirx.Select(outside, zero, x << amount)
        return tirx.Select(outside, x >> last if dtype.startswith("int") else zero, x >> amount)

    return elementwise(context, shift, [inputs[0], inputs[1]], "bit_shift")


@operator("Max", "Min")
def extreme(context: Context, node: Node, inputs: Inputs) -> Result:
    """The largest or smallest of the inputs, element by element; NaN where any is NaN."""
    dtype = dtype_of(inputs[0])
    if is_float(dtype):
        larger = node.op_type == "Max"

        def pick(x: tirx.Var, y: tirx.Var) -> tirx.Var:
            ordered = x > y if larger else x < y
            return tirx.Select(tirx.any(ordered, tirx.isnan(x)), x, y)

        if all(context.constant(value) is None for value in inputs):
            return functools.reduce(lambda x, y: elementwise(context, pick, [x, y], node.op_type.lower()), inputs)
    function = relax.op.maximum if node.op_type == "Max" else relax.op.minimum
    return functools.reduce(lambda x, y: context.emit(function(x, y)), inputs)


@operator("Sum", "Mean")
def variadic_sum(context: Context, node: Node, inputs: Inputs) -> Result:
    """The sum or mean of the inputs, element by element."""
    total = functools.reduce(lambda x, y: context.emit(relax.op.add(x, y)), inputs)
    if node.op_type == "Sum" or len(inputs) == 1:
        return total
    return context.emit(relax.op.divide(total, scalar(len(inputs), dtype_of(total))))


@operator("Where")
def where(context: Context, node: Node, inputs: Inputs) -> Result:
    """x where the condition holds, else y."""
    return context.emit(relax.op.where(inputs[0], inputs[1], inputs[2]))


@operator("Clip")
def clip(context: Context, node: Node, inputs: Inputs) -> Result:
    """min(max(x, low), high); the bounds are attributes before opset 11, optional inputs from then on."""
    value, dtype = inputs[0], dtype_of(inputs[0])
    if node.opset < 11:
        low = scalar(node.floating("min"), dtype) if "min" in node.attributes else None
        high = scalar(node.floating("max"), dtype) if "max" in node.attributes else None
    else:
        low, high = (reshape(context, bound, ()) if bound is not None else None for bound in (inputs[1], inputs[2]))
    least, most = context.constant(low), context.constant(high)
    if dtype == "float32" and least is not None and most is not None and least <= most:
        return context.emit(relax.op.clip(value, float(least.item()), float(most.item())))
    if low is not None:
        value = context.emit(relax.op.maximum(value, low))
    return context.emit(relax.op.minimum(value, high)) if high is not None else value
