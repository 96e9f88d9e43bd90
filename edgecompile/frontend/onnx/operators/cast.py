"""Cast and CastLike: conversion between dtypes with ONNX's rules for bool, integers and saturation."""

from __future__ import annotations

import numpy as np
from tvm import relax, tirx

from edgecompile.frontend.onnx import dtypes
from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, is_float
from edgecompile.frontend.onnx.emit import cast, elementwise, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


@operator("Cast")
def cast_to(context: Context, node: Node, inputs: Inputs) -> Result:
    """x converted to the dtype `to`."""
    return convert(context, inputs[0], dtypes.require_supported(node.integer("to"), str(node)))


@operator("CastLike", host_arrays=True)
def cast_like(context: Context, node: Node, inputs: Inputs) -> Result:
    """x converted to the dtype of the second input."""
    if any(isinstance(value, np.ndarray) for value in inputs):
        raise node.unsupported("dtypes that can be compiled were needed, found sub-byte numbers or text")
    return convert(context, inputs[0], dtype_of(inputs[1]))


def convert(context: Context, value: relax.Expr, dtype: str) -> relax.Expr:
    """To bool: whether an element differs from 0; float to integer: towards zero; everything else as in C."""
    source = dtype_of(value)
    if dtype == "bool" and source != "bool":
        return context.emit(relax.op.not_equal(value, scalar(0, source)))
    if is_float(source) and dtype.startswith(("int8", "int16", "uint8", "uint16")):
        return cast(
            context, cast(context, value, "int32"), dtype
        )  # in C a narrow target may not wrap, in NumPy it does
    if source == "bool" and is_float(dtype):
        return elementwise(
            context, lambda x: tirx.Select(x, tirx.const(1, dtype), tirx.const(0, dtype)), [value], "to_float"
        )
    return cast(context, value, dtype)
