"""TopK and the cumulative operators."""

from __future__ import annotations

from tvm import relax

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, rank_of
from edgecompile.frontend.onnx.emit import normalized_axis
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


@operator("CumSum", "CumProd")
def cumulative(context: Context, node: Node, inputs: Inputs) -> Result:
    """Running sums or products along one axis, each with or without its own element, from either end."""
    x = inputs[0]
    axis = normalized_axis(context, int(context.require_constant(node, 1).reshape(())), rank_of(x))
    function = relax.op.cumsum if node.op_type == "CumSum" else relax.op.cumprod
    backwards = bool(node.integer("reverse", 0))
    ordered = context.emit(relax.op.flip(x, axis)) if backwards else x
    result = context.emit(function(ordered, axis, dtype_of(x), bool(node.integer("exclusive", 0))))
    return context.emit(relax.op.flip(result, axis)) if backwards else result


@operator("TopK")
def top_k(context: Context, node: Node, inputs: Inputs) -> Result:
    """The k largest or smallest elements along one axis, best first, ties by index; and their int64 indices."""
    x = inputs[0]
    k = node.integer("k") if "k" in node.attributes else int(context.require_constant(node, 1).reshape(()))
    axis = normalized_axis(context, node.integer("axis", -1), rank_of(x))
    size = context.require_static(node, x)[axis]
    if not 1 <= k <= size:
        raise node.invalid(f"k from 1 to {size} was needed, found {k}")
    largest = bool(node.integer("largest", 1))
    return context.unpack(context.emit(relax.op.topk(x, k, axis, "both", largest, "int64")))
