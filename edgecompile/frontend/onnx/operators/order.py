"""TopK and the cumulative operators."""

from __future__ import annotations

from typing import Any

from tvm import relax, te, tirx, topi

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, rank_of, shape_of
from edgecompile.frontend.onnx.emit import normalized_axis
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


@operator("CumSum", "CumProd")
def cumulative(context: Context, node: Node, inputs: Inputs) -> Result:
    """Running sums or products along one axis, each with or without its own element, from either end."""
    x = inputs[0]
    axis = normalized_axis(context, int(context.require_constant(node, 1).reshape(())), rank_of(x))
    function = topi.cumsum if node.op_type == "CumSum" else topi.cumprod  # Relax's own become calls into TVM's runtime
    backwards = bool(node.integer("reverse", 0))
    ordered = context.emit(relax.op.flip(x, axis)) if backwards else x
    exclusive = bool(node.integer("exclusive", 0))
    result = context.emit_te(function, ordered, axis=axis, dtype=dtype_of(x), exclusive=exclusive, name="cumulative")
    return context.emit(relax.op.flip(result, axis)) if backwards else result


@operator("TopK")
def top_k(context: Context, node: Node, inputs: Inputs) -> Result:
    """The k largest or smallest elements along one axis, best first, ties by index; and their int64 indices."""
    x = inputs[0]
    k = node.integer("k") if "k" in node.attributes else int(context.require_constant(node, 1).reshape(()))
    axis = normalized_axis(context, node.integer("axis", -1), rank_of(x))
    size = context.require_static(node, x)[axis]
    if not 0 <= k <= size:
        raise node.invalid(f"k from 0 to {size} was needed, found {k}")
    return sort(context, x, axis, k, bool(node.integer("largest", 1)))


def sort(context: Context, x: relax.Expr, axis: int, k: int, largest: bool) -> tuple[relax.Expr, relax.Expr]:
    """The first `k` of `x` sorted along `axis`, stable, and their indices.

    Each element's rank is how many others go before it; the element of rank r is then found by search. That is O(n * n)
    work without branches or scratch memory beyond the ranks, which suits the axes that models sort.
    """
    shape = shape_of(x)
    size = shape[axis]

    def before(left: Any, right: Any, left_index: Any, right_index: Any) -> Any:
        better = left > right if largest else left < right
        return tirx.any(better, tirx.all(left == right, left_index < right_index))

    def compute(data: te.Tensor) -> list[te.Tensor]:
        other = te.reduce_axis((0, size), name="other")

        def rank(*place: Any) -> Any:
            rival = data(*place[:axis], other, *place[axis + 1 :])
            wins = before(rival, data(*place), other, place[axis])
            return te.sum(tirx.Select(wins, tirx.const(1, "int64"), tirx.const(0, "int64")), axis=other)

        ranks = te.compute(shape, rank, name="rank")
        where = te.reduce_axis((0, size), name="where")

        def index(*place: Any) -> Any:
            hit = ranks(*place[:axis], where, *place[axis + 1 :]) == place[axis].astype("int64")
            return te.sum(tirx.Select(hit, where.var.astype("int64"), tirx.const(0, "int64")), axis=where)

        chosen = (*shape[:axis], k, *shape[axis + 1 :])
        indices = te.compute(chosen, index, name="index")
        values = te.compute(
            chosen, lambda *place: data(*place[:axis], indices(*place), *place[axis + 1 :]), name="value"
        )
        return [values, indices]

    values, indices = context.unpack(context.emit_te(compute, x, name="sort"))
    return values, indices
