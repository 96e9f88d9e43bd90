"""Operators that move or reinterpret data without computing: BitCast, TensorScatter."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import te, tirx

from edgecompile.frontend.onnx import dtypes
from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, make_constant
from edgecompile.frontend.onnx.emit import cast, elementwise, normalized_axis
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


@operator("BitCast")
def bit_cast(context: Context, node: Node, inputs: Inputs) -> Result:
    """The same bits as another dtype of the same width."""
    x = inputs[0]
    dtype, have = dtypes.require_supported(node.integer("to"), str(node)), dtype_of(inputs[0])
    if dtype == have:
        return x
    if _width(dtype) != _width(have):
        raise node.invalid(f"a dtype of {_width(have)} bits like {have} was needed, found {dtype}")
    if have == "bool":  # 0 or 1 in a byte
        x, have = cast(context, x, "uint8"), "uint8"
    if dtype in (have, "bool"):
        return cast(context, x, dtype)
    return elementwise(context, lambda value: tirx.reinterpret(dtype, value), [x], "bit_cast")


def _width(dtype: str) -> int:
    return 8 if dtype == "bool" else int(dtype.lstrip("abcdefghijklmnopqrstuvwxyz"))


@operator("TensorScatter")
def tensor_scatter(context: Context, node: Node, inputs: Inputs) -> Result:
    """cache [B, .., S, ..] with update [B, .., U, ..] written from position write_indices[b] on along the axis."""
    cache, update, indices = inputs[0], inputs[1], inputs[2]
    shape, update_shape = context.require_static(node, cache), context.require_static(node, update)
    axis = normalized_axis(context, node.integer("axis", -2), len(shape))
    circular = node.string("mode", "linear") == "circular"
    length, count = shape[axis], update_shape[axis]
    if count > length or axis == 0:
        raise node.invalid(
            f"an update of at most {length} entries along an axis other than 0 was needed, found {count}"
        )
    if indices is None:
        indices = make_constant(np.zeros((shape[0],), np.int64))

    def compute(old: te.Tensor, new: te.Tensor, first: te.Tensor) -> te.Tensor:
        def at(*i: Any) -> Any:
            place = i[axis].astype("int64") - first(i[0]).astype("int64")
            if circular:
                place = tirx.floormod(place, tirx.const(length, "int64"))
            inside = tirx.all(place >= tirx.const(0, "int64"), place < tirx.const(count, "int64"))
            safe = te.min(te.max(place, tirx.const(0, "int64")), tirx.const(count - 1, "int64"))
            return tirx.if_then_else(inside, new(*i[:axis], safe, *i[axis + 1 :]), old(*i))

        return te.compute(shape, at, name="tensor_scatter")

    return context.emit_te(compute, cache, update, indices, name="tensor_scatter")
