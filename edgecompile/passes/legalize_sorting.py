"""Sorting and running sums as plain loops; TVM's own legalisations call its runtime library.

The rank of an element is how many others come before it; the element of rank r is then found by search. That is
O(n * n) work without branches, and without scratch memory beyond the ranks: right for the axes that models sort.

NaN counts as greater than every number, as in PyTorch and NumPy; equal elements keep their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgecompile.passes.legalize_comparisons import negate

if TYPE_CHECKING:
    import tvm
    from tvm import relax, te

# Above this, counting ranks takes seconds on a small board, and the call is left to the virtual machine.
MOST_COMPARISONS = 2**28


def sorting_legalizations() -> dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr]]:
    """Operator -> legalisation, for `LegalizeOps`; calls with run-time shapes are left as they are."""
    return {
        "relax.sort": _legalize_sort,
        "relax.argsort": _legalize_argsort,
        "relax.topk": _legalize_topk,
        "relax.cumsum": _legalize_cumulative,
        "relax.cumprod": _legalize_cumulative,
    }


def _legalize_sort(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    axis, shape = _axis_and_shape(call)
    if shape is None:
        return call
    return builder.call_te(
        lambda data: _order(data, axis, shape[axis], bool(call.attrs.descending), "int64")[0],
        call.args[0],
        primfunc_name_hint="sort",
    )


def _legalize_argsort(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    axis, shape = _axis_and_shape(call)
    if shape is None:
        return call
    return builder.call_te(
        lambda data: _order(data, axis, shape[axis], bool(call.attrs.descending), str(call.attrs.dtype))[1],
        call.args[0],
        primfunc_name_hint="argsort",
    )


def _legalize_topk(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    axis, shape = _axis_and_shape(call)
    if shape is None:
        return call
    count = int(call.attrs.k)
    count = min(count, shape[axis]) if count > 0 else shape[axis]  # Relax: k below 1 means all

    def compute(data: te.Tensor) -> Any:
        results = _order(data, axis, count, bool(call.attrs.largest), str(call.attrs.dtype))
        return {"both": results, "values": results[0], "indices": results[1]}[str(call.attrs.ret_type)]

    return builder.call_te(compute, call.args[0], primfunc_name_hint="topk")


def _legalize_cumulative(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    from tvm import topi

    _, shape = _axis_and_shape(call)
    if shape is None:
        return call
    name = call.op.name.removeprefix("relax.")
    function = {"cumsum": topi.cumsum, "cumprod": topi.cumprod}[name]
    axis = None if call.attrs.axis is None else int(call.attrs.axis)
    dtype = str(call.ty.dtype)
    exclusive = bool(call.attrs.exclusive)
    return builder.call_te(
        lambda data: function(data, axis=axis, dtype=dtype, exclusive=exclusive), call.args[0], primfunc_name_hint=name
    )


def _axis_and_shape(call: relax.Call) -> tuple[int, list[int] | None]:
    """The axis counted from the front, and the input's shape; None where the plan cannot or should not sort it."""
    from tvm import relax, tirx

    shape = call.args[0].ty.shape
    if not isinstance(shape, relax.ShapeExpr) or not all(isinstance(d, tirx.IntImm) for d in shape.values):
        return 0, None
    extents = [int(extent) for extent in shape.values]
    axis = 0 if call.attrs.axis is None else int(call.attrs.axis) % max(len(extents), 1)
    comparisons = extents[axis] if extents else 1
    for extent in extents:
        comparisons *= extent
    sorts = not call.op.name.startswith("relax.cum")
    return axis, None if sorts and comparisons > MOST_COMPARISONS else extents


def _order(data: te.Tensor, axis: int, count: int, descending: bool, index_dtype: str) -> list[te.Tensor]:
    """The first `count` elements of `data` in order along `axis`, and where they were."""
    from tvm import te, tirx

    shape = list(data.shape)
    size = shape[axis]
    other = te.reduce_axis((0, size), name="other")

    def moved(place: Sequence[Any], position: Any) -> tuple[Any, ...]:
        return (*place[:axis], position, *place[axis + 1 :])

    def rank(*place: Any) -> Any:
        rival, own = data(*moved(place, other)), data(*place)
        first, second = (own, rival) if descending else (rival, own)
        tied = negate(tirx.Or(_less(first, second), _less(second, first)))
        before = tirx.Or(_less(first, second), tirx.And(tied, other < place[axis]))
        return te.sum(tirx.Select(before, tirx.const(1, "int32"), tirx.const(0, "int32")), axis=other)

    ranks = te.compute(shape, rank, name="rank")
    where = te.reduce_axis((0, size), name="where")

    def index(*place: Any) -> Any:
        hit = ranks(*moved(place, where)) == place[axis].astype("int32")
        return te.sum(tirx.Select(hit, where.var.astype(index_dtype), tirx.const(0, index_dtype)), axis=where)

    chosen = [*shape[:axis], count, *shape[axis + 1 :]]
    indices = te.compute(chosen, index, name="index")
    values = te.compute(chosen, lambda *place: data(*moved(place, indices(*place))), name="value")
    return [values, indices]


def _less(a: tvm.tirx.Expr, b: tvm.tirx.Expr) -> tvm.tirx.Expr:
    """a < b, where NaN is greater than every number."""
    from tvm import tirx

    if "float" not in str(a.ty.dtype):
        return a < b
    return tirx.Or(a < b, tirx.And(tirx.isnan(b), negate(tirx.isnan(a))))
