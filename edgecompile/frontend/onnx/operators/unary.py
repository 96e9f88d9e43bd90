"""Functions of one element."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tvm import relax, tirx

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, is_float, is_unsigned
from edgecompile.frontend.onnx.emit import cast, elementwise, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

_RELAX: dict[str, Callable[[relax.Expr], relax.Expr]] = {
    "Acos": relax.op.acos,
    "Acosh": relax.op.acosh,
    "Asin": relax.op.asin,
    "Asinh": relax.op.asinh,
    "Atan": relax.op.atan,
    "Atanh": relax.op.atanh,
    "BitwiseNot": relax.op.bitwise_not,
    "Cos": relax.op.cos,
    "Cosh": relax.op.cosh,
    "Erf": relax.op.erf,
    "Exp": relax.op.exp,
    "IsNaN": relax.op.isnan,
    "Log": relax.op.log,
    "Neg": relax.op.negative,
    "Not": relax.op.logical_not,
    "Relu": relax.op.nn.relu,
    "Sigmoid": relax.op.sigmoid,
    "Sin": relax.op.sin,
    "Sinh": relax.op.sinh,
    "Sqrt": relax.op.sqrt,
    "Tan": relax.op.tan,
    "Tanh": relax.op.tanh,
}


@operator(*_RELAX)
def unary(context: Context, node: Node, inputs: Inputs) -> Result:
    """y = f(x), by the Relax operator of the same meaning."""
    return context.emit(_RELAX[node.op_type](inputs[0]))


@operator("Abs")
def absolute(context: Context, node: Node, inputs: Inputs) -> Result:
    """y = |x|."""
    return inputs[0] if is_unsigned(dtype_of(inputs[0])) else context.emit(relax.op.abs(inputs[0]))


@operator("Ceil", "Floor")
def ceil_floor(context: Context, node: Node, inputs: Inputs) -> Result:
    """The next integer up or down."""
    return context.emit((relax.op.ceil if node.op_type == "Ceil" else relax.op.floor)(inputs[0]))


@operator("Round")
def round_half_to_even(context: Context, node: Node, inputs: Inputs) -> Result:
    """The nearest integer, halves to the even one; Relax's round moves halves away from zero."""
    return elementwise(context, tirx.nearbyint, [inputs[0]], "round_half_to_even")


@operator("Sign")
def sign(context: Context, node: Node, inputs: Inputs) -> Result:
    """-1, 0 or 1."""
    dtype = dtype_of(inputs[0])
    if not is_unsigned(dtype):
        return context.emit(relax.op.sign(inputs[0]))
    return cast(context, context.emit(relax.op.greater(inputs[0], scalar(0, dtype))), dtype)


@operator("Reciprocal")
def reciprocal(context: Context, node: Node, inputs: Inputs) -> Result:
    """y = 1 / x."""
    return context.emit(relax.op.divide(scalar(1, dtype_of(inputs[0])), inputs[0]))


@operator("IsInf")
def is_inf(context: Context, node: Node, inputs: Inputs) -> Result:
    """True at infinities, of either sign or of the signs asked for."""
    positive, negative = bool(node.integer("detect_positive", 1)), bool(node.integer("detect_negative", 1))
    value, dtype = inputs[0], dtype_of(inputs[0])
    assert is_float(dtype)
    above = context.emit(relax.op.equal(value, scalar(np.inf, dtype)))
    below = context.emit(relax.op.equal(value, scalar(-np.inf, dtype)))
    if positive and negative:
        return context.emit(relax.op.logical_or(above, below))
    if not positive and not negative:
        return context.emit(relax.op.logical_and(above, below))
    return above if positive else below
