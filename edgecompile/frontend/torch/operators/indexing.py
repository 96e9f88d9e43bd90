"""Slices, gathers and scatters; negative positions are counted from the end before Relax sees them.

Where an index comes from the data, `take` clips it: PyTorch raises an error for one that is out of range, a compiled
library must at least not read beyond the tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, dtype_of, shape_of
from edgecompile.frontend.torch.registry import converter


@converter("select.int")
def select(context: Context, args: Arguments) -> relax.Expr:
    """One slice, its dimension dropped."""
    shape = shape_of(args.self)
    axis = args.dim % len(shape)
    index = args.index + shape[axis] if isinstance(args.index, int) and args.index < 0 else args.index
    taken = context.emit(relax.op.strided_slice(args.self, [axis], [index], [index + 1]))
    return relax.op.squeeze(taken, [axis])


@converter("slice.Tensor")
def slice_tensor(context: Context, args: Arguments) -> relax.Expr:
    """`self[start:end:step]` along one dimension."""
    axis = args.dim % len(shape_of(args.self))
    begin, end = _bounds(shape_of(args.self)[axis], args.start, args.end)
    if _is(begin, 0) and args.step == 1 and _same(end, shape_of(args.self)[axis]):
        return args.self
    return relax.op.strided_slice(args.self, [axis], [begin], [end], [args.step])


@converter("slice_scatter.default")
def slice_scatter(context: Context, args: Arguments) -> relax.Expr:
    """A copy of `self` whose slice is replaced by `src`."""
    axis = args.dim % len(shape_of(args.self))
    begin, end = _bounds(shape_of(args.self)[axis], args.start, args.end)
    if not (isinstance(begin, int) and isinstance(end, int)):
        raise context.refuse("writing a slice with dynamic bounds", "freeze the dimension with shapes=")
    positions = range(begin, end, args.step)
    return _replace(context, args.self, context.tensor(args.src, context.dtype), axis, positions)


@converter("select_scatter.default")
def select_scatter(context: Context, args: Arguments) -> relax.Expr:
    """A copy of `self` in which one slice is replaced by `src`."""
    axis = args.dim % len(shape_of(args.self))
    extent = shape_of(args.self)[axis]
    if not isinstance(extent, int):
        raise context.refuse("writing into a dynamic dimension", "freeze the dimension with shapes=")
    source = context.emit(relax.op.expand_dims(context.tensor(args.src, context.dtype), axis))
    return _replace(context, args.self, source, axis, range(args.index % extent, args.index % extent + 1))


def _replace(context: Context, value: relax.Expr, source: relax.Expr, axis: int, positions: range) -> relax.Expr:
    """Joins the untouched parts of `value` with the slices of `source` in the order of `positions`."""
    extent = shape_of(value)[axis]
    if not positions:
        return value
    if positions.step == 1:
        pieces = [
            _piece(context, value, axis, 0, positions[0]),
            source,
            _piece(context, value, axis, positions[-1] + 1, extent),
        ]
        return relax.op.concat([piece for piece in pieces if piece is not None], axis=axis)
    where = {position: i for i, position in enumerate(positions)}
    joined = context.emit(relax.op.concat([value, source], axis=axis))
    order = [extent + where[i] if i in where else i for i in range(extent)]
    return relax.op.take(joined, relax.const(order, "int64"), axis=axis)


def _piece(context: Context, value: relax.Expr, axis: int, begin: int, end: int) -> relax.Expr | None:
    return context.emit(relax.op.strided_slice(value, [axis], [begin], [end])) if end > begin else None


def _bounds(extent: Any, start: Any, end: Any) -> tuple[Any, Any]:
    """Python's rules for open, negative and exceeding bounds."""
    begin = 0 if start is None else start
    finish = extent if end is None or (isinstance(end, int) and end >= 2**62) else end
    if isinstance(begin, int) and begin < 0:
        begin = max(begin + extent, 0) if isinstance(extent, int) else begin + extent
    if isinstance(finish, int) and finish < 0:
        finish = max(finish + extent, 0) if isinstance(extent, int) else finish + extent
    if isinstance(extent, int):
        finish = min(finish, extent) if isinstance(finish, int) else finish
        begin = min(begin, extent) if isinstance(begin, int) else begin
    if isinstance(begin, int) and isinstance(finish, int):
        finish = max(begin, finish)
    return begin, finish


def _is(value: Any, number: int) -> bool:
    return isinstance(value, int) and value == number


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, int) or isinstance(right, int):
        return isinstance(left, int) and isinstance(right, int) and left == right
    return bool(tvm.sym.Analyzer().can_prove_equal(left, right))


@converter("diagonal.default")
def diagonal(context: Context, args: Arguments) -> relax.Expr:
    """`self[..., i, i + offset]` over two dimensions, the diagonal last."""
    shape = shape_of(args.self)
    first, second = args.dim1 % len(shape), args.dim2 % len(shape)
    rest = [axis for axis in range(len(shape)) if axis not in (first, second)]
    rows, columns = shape[first], shape[second]
    if not (isinstance(rows, int) and isinstance(columns, int)):
        raise context.refuse("the diagonal of a dynamic dimension", "freeze the dimension with shapes=")
    count = max(min(rows, columns - args.offset) if args.offset >= 0 else min(rows + args.offset, columns), 0)
    start = args.offset if args.offset >= 0 else -args.offset * columns
    ordered = context.emit(relax.op.permute_dims(args.self, [*rest, first, second]))
    flat = context.emit(relax.op.reshape(ordered, [*(shape[axis] for axis in rest), rows * columns]))
    positions = [start + i * (columns + 1) for i in range(count)]
    return relax.op.take(flat, relax.const(positions, "int64"), axis=len(rest))


@converter("embedding.default")
def embedding(context: Context, args: Arguments) -> relax.Expr:
    """Rows of the weight [rows, width] by index."""
    return relax.op.take(args.weight, args.indices, axis=0, mode="clip")


@converter("index_select.default")
def index_select(context: Context, args: Arguments) -> relax.Expr:
    """Slices by a vector of indices."""
    if not shape_of(args.self):
        return args.self
    index = args.index if shape_of(args.index) else context.emit(relax.op.reshape(args.index, [1]))
    return relax.op.take(args.self, index, axis=args.dim % len(shape_of(args.self)), mode="clip")


@converter("gather.default")
def gather(context: Context, args: Arguments) -> relax.Expr:
    """Elements by an index tensor along one dimension."""
    rank = len(shape_of(args.self))
    if rank != len(shape_of(args.index)) or rank == 0:
        raise context.refuse("gather on a scalar", "use plain indexing")
    if shape_of(args.self)[: args.dim % rank] != shape_of(args.index)[: args.dim % rank] or (
        shape_of(args.self)[args.dim % rank + 1 :] != shape_of(args.index)[args.dim % rank + 1 :]
    ):
        trimmed = context.emit(_trim(args.self, shape_of(args.index), args.dim % rank))
        return relax.op.gather_elements(trimmed, args.index, axis=args.dim % rank)
    return relax.op.gather_elements(args.self, args.index, axis=args.dim % rank)


def _trim(value: relax.Expr, shape: list[Any], keep: int) -> relax.Expr:
    """PyTorch lets the index be smaller than the data in the other dimensions; Relax wants them equal."""
    axes = [axis for axis in range(len(shape)) if axis != keep]
    return relax.op.strided_slice(value, axes, [0] * len(axes), [shape[axis] for axis in axes])


@converter("index.Tensor", "_unsafe_index.Tensor")
def index(context: Context, args: Arguments) -> relax.Expr:
    """Advanced indexing by integer tensors, which are broadcast together; None keeps a dimension."""
    given = _given(context, args.indices)
    axes, indices = [axis for axis, _ in given], [_from_start(context, args.self, axis, i) for axis, i in given]
    if len(axes) == 1:
        return relax.op.take(args.self, indices[0], axis=axes[0], mode="clip")
    rank = len(shape_of(args.self))
    rest = [axis for axis in range(rank) if axis not in axes]
    order = axes + rest
    value = args.self if order == list(range(rank)) else context.emit(relax.op.permute_dims(args.self, order))
    result = relax.op.index_tensor(value, indices)
    adjacent = axes == list(range(axes[0], axes[0] + len(axes)))
    if not adjacent or axes[0] == 0:
        return result
    # The indexed dimensions stand in front; adjacent ones belong where the first of them was.
    width = len(shape_of(context.emit(result))) - len(rest)
    total, before = width + len(rest), axes[0]
    return relax.op.permute_dims(result, [*range(width, width + before), *range(width), *range(width + before, total)])


@converter("index_put.default", "_unsafe_index_put.default")
def index_put(context: Context, args: Arguments) -> relax.Expr:
    """A copy of `self` with elements replaced (or increased) at index tensors, or by a mask of the same shape."""
    if len(args.indices) == 1 and dtype_of(args.indices[0]) == "bool" and not args.accumulate:
        return _masked_put(context, args)
    given = _given(context, args.indices)
    if [axis for axis, _ in given] != list(range(len(given))):
        raise context.refuse("writing at index tensors that skip a dimension", "write with torch.where")
    indices = [_from_start(context, args.self, axis, i) for axis, i in given]
    shape = shape_of(context.emit(sum(indices[1:], start=indices[0]) if len(indices) > 1 else indices[0]))
    rest = shape_of(args.self)[len(given) :]
    if not all(isinstance(dim, int) for dim in rest):
        raise context.refuse("writing slices with dynamic dimensions", "freeze the dimensions with shapes=")
    # Whole slices are written element by element: the dimensions without index count up.
    indices = [context.emit(relax.op.reshape(i, shape_of(i) + [1] * len(rest))) if rest else i for i in indices]
    for position, dim in enumerate(rest):
        counting = np.arange(dim, dtype="int64").reshape([dim] + [1] * (len(rest) - position - 1))
        indices.append(relax.const(counting, "int64"))
    shape = shape + rest
    values = context.tensor(args.values, context.dtype)
    values = context.emit(relax.op.broadcast_to(values, shape)) if shape_of(values) != shape else values
    indices = [context.tensor(i, "int64") for i in indices]
    indices = [context.emit(relax.op.broadcast_to(i, shape)) if shape_of(i) != shape else i for i in indices]
    return relax.op.index_put(args.self, indices, values, args.accumulate)


def _masked_put(context: Context, args: Arguments) -> relax.Expr:
    mask, value = args.indices[0], args.values
    missing = len(shape_of(args.self)) - len(shape_of(mask))
    if shape_of(value) not in ([], [1]):
        raise context.refuse("writing several values at a mask", "write with torch.where")
    mask = context.emit(relax.op.reshape(mask, shape_of(mask) + [1] * missing)) if missing else mask
    return relax.op.where(mask, context.tensor(value, context.dtype), args.self)


def _given(context: Context, indices: list[Any]) -> list[tuple[int, relax.Expr]]:
    given = [(axis, value) for axis, value in enumerate(indices) if value is not None]
    if any(dtype_of(value) in ("bool", "uint8") for _, value in given):
        raise context.refuse("a boolean mask, whose result size depends on the data", "use torch.where")
    return given


def _from_start(context: Context, value: relax.Expr, axis: int, position: relax.Expr) -> relax.Expr:
    """Adds the extent to negative positions."""
    extent, dtype = shape_of(value)[axis], dtype_of(position)
    counted = relax.op.add(position, context.tensor(extent, dtype))
    return context.emit(relax.op.where(relax.op.less(position, context.tensor(0, dtype)), counted, position))


@converter("scatter.src", "scatter.value")
def scatter(context: Context, args: Arguments) -> relax.Expr:
    """A copy of `self` with elements replaced at an index tensor along one dimension."""
    return _scatter(context, args, "update")


@converter("scatter_add.default")
def scatter_add(context: Context, args: Arguments) -> relax.Expr:
    """A copy of `self` with elements added at an index tensor along one dimension."""
    return _scatter(context, args, "add")


def _scatter(context: Context, args: Arguments, reduction: str) -> relax.Expr:
    shape, rank = shape_of(args.index), len(shape_of(args.self))
    if rank == 0:
        raise context.refuse("scatter on a scalar", "use torch.where")
    source = args.get("src")
    if source is None:
        source = context.emit(relax.op.full(shape, context.tensor(args.value, context.dtype), context.dtype))
    elif shape_of(source) != shape:
        axes = list(range(rank))
        source = context.emit(relax.op.strided_slice(source, axes, [0] * rank, shape))
    return relax.op.scatter_elements(args.self, args.index, source, axis=args.dim % rank, reduction=reduction)
