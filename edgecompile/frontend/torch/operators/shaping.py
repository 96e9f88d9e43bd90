"""Operators that move or reinterpret elements without computing on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, shape_of
from edgecompile.frontend.torch.registry import converter


@converter(
    "alias.default",
    "clone.default",
    "contiguous.default",
    "detach.default",
    "lift_fresh_copy.default",
    "dropout.default",
    "_conj.default",
    "expand_copy.default",
)
def identity(context: Context, args: Arguments) -> relax.Expr:
    """The value itself; dropout too, for prepare refuses it in training mode."""
    return args.get("self") if args.get("self") is not None else args.input


@converter("view.default", "reshape.default", "_unsafe_view.default", "view_copy.default")
def reshape(context: Context, args: Arguments) -> relax.Expr:
    """The same elements in another shape."""
    shape = args.get("size") if args.get("size") is not None else args.shape
    # Relax reads a 0 as "the input's dimension"; an empty tensor's shape is therefore taken from PyTorch's result.
    if 0 in shape_of(args.self):
        return relax.op.zeros(list(context.node.meta["val"].shape), context.dtype)
    return args.self if shape_of(args.self) == list(shape) else relax.op.reshape(args.self, list(shape))


@converter("permute.default")
def permute(context: Context, args: Arguments) -> relax.Expr:
    """Reorders the dimensions."""
    rank = len(shape_of(args.self))
    return relax.op.permute_dims(args.self, [dim % rank for dim in args.dims]) if rank else args.self


@converter("transpose.int")
def transpose(context: Context, args: Arguments) -> relax.Expr:
    """Swaps two dimensions."""
    order = list(range(len(shape_of(args.self))))
    if not order:
        return args.self
    order[args.dim0], order[args.dim1] = order[args.dim1], order[args.dim0]
    return relax.op.permute_dims(args.self, order)


@converter("t.default")
def matrix_transpose(context: Context, args: Arguments) -> relax.Expr:
    """The transposed matrix; a vector stays as it is."""
    return relax.op.permute_dims(args.self) if len(shape_of(args.self)) == 2 else args.self


@converter("unsqueeze.default")
def unsqueeze(context: Context, args: Arguments) -> relax.Expr:
    """Inserts a dimension of one."""
    return relax.op.expand_dims(args.self, args.dim)


@converter("squeeze.default", "squeeze.dim", "squeeze.dims")
def squeeze(context: Context, args: Arguments) -> relax.Expr:
    """Drops those of the dimensions that are one."""
    shape = shape_of(args.self)
    dims = args.get("dim")
    if isinstance(dims, list) and not dims:
        return args.self
    candidates = range(len(shape)) if dims is None else dims if isinstance(dims, list) else [dims]
    ones = sorted({dim % max(len(shape), 1) for dim in candidates} & {i for i, dim in enumerate(shape) if dim == 1})
    return relax.op.squeeze(args.self, ones) if ones else args.self


@converter("expand.default")
def expand(context: Context, args: Arguments) -> relax.Expr:
    """Repeats dimensions of one without copying in PyTorch; -1 keeps a dimension."""
    shape, size = shape_of(args.self), list(args.size)
    offset = len(size) - len(shape)
    target = [shape[i - offset] if isinstance(dim, int) and dim == -1 else dim for i, dim in enumerate(size)]
    return args.self if target == shape else relax.op.broadcast_to(args.self, target)


@converter("cat.default")
def concatenate(context: Context, args: Arguments) -> relax.Expr:
    """Joins tensors along one dimension; empty vectors are left out, as PyTorch does."""
    tensors = [context.tensor(item, context.dtype) for item in args.tensors if shape_of(item) != [0]]
    if len(tensors) == 1:
        return tensors[0]
    if not tensors:
        return relax.op.zeros([0], context.dtype)
    return relax.op.concat(tensors, axis=args.dim % len(shape_of(tensors[0])))


@converter("stack.default")
def stack(context: Context, args: Arguments) -> relax.Expr:
    """Joins tensors along a new dimension."""
    return relax.op.stack([context.tensor(item, context.dtype) for item in args.tensors], axis=args.dim)


@converter("split_with_sizes.default")
def split(context: Context, args: Arguments) -> Any:
    """Cuts a tensor into pieces of given sizes along one dimension."""
    cuts, position = [], 0
    for size in list(args.split_sizes)[:-1]:
        position += size
        cuts.append(position)
    if not cuts:
        return (args.self,)
    pieces = context.emit(relax.op.split(args.self, cuts, args.dim % len(shape_of(args.self))))
    return tuple(pieces[i] for i in range(len(cuts) + 1))


@converter("split.Tensor")
def split_evenly(context: Context, args: Arguments) -> Any:
    """Cuts a tensor into pieces of one size, the last perhaps smaller."""
    axis = args.dim % len(shape_of(args.self))
    cuts = list(range(args.split_size, shape_of(args.self)[axis], args.split_size))
    if not cuts:
        return (args.self,)
    pieces = context.emit(relax.op.split(args.self, cuts, axis))
    return tuple(pieces[i] for i in range(len(cuts) + 1))


@converter("unbind.int")
def unbind(context: Context, args: Arguments) -> Any:
    """Cuts a tensor into slices, dropping the dimension."""
    axis = args.dim % len(shape_of(args.self))
    count = shape_of(args.self)[axis]
    if count == 1:
        return (relax.op.squeeze(args.self, [axis]),)
    pieces = context.emit(relax.op.split(args.self, count, axis))
    return tuple(relax.op.squeeze(context.emit(pieces[i]), [axis]) for i in range(count))


@converter("repeat.default")
def repeat(context: Context, args: Arguments) -> relax.Expr:
    """Tiles the tensor."""
    return relax.op.tile(args.self, list(args.repeats)) if args.repeats else args.self


@converter("flip.default")
def flip(context: Context, args: Arguments) -> relax.Expr:
    """Reverses dimensions."""
    value = args.self
    for dim in args.dims:
        value = context.emit(relax.op.flip(value, dim % len(shape_of(value)))) if shape_of(value) else value
    return value


@converter("constant_pad_nd.default")
def constant_pad(context: Context, args: Arguments) -> relax.Expr:
    """Adds a border of one value; negative widths crop. `pad` lists (before, after) from the last dimension on."""
    value, shape = args.self, shape_of(args.self)
    widths = [(0, 0)] * (len(shape) - len(args.pad) // 2)
    widths += [(args.pad[i], args.pad[i + 1]) for i in range(len(args.pad) - 2, -1, -2)]
    crops = {axis: (max(-before, 0), max(-after, 0)) for axis, (before, after) in enumerate(widths)}
    axes = [axis for axis, crop in crops.items() if any(crop)]
    if axes:
        begin, end = [crops[a][0] for a in axes], [shape[a] - crops[a][1] for a in axes]
        value = context.emit(relax.op.strided_slice(value, axes, begin, end))
    padding = [max(width, 0) for pair in widths for width in pair]
    if not any(padding):
        return value
    if context.dtype == "bool":
        padded = relax.op.nn.pad(context.tensor(value, "int8"), padding, "constant", float(args.value))
        return relax.op.astype(padded, "bool")
    return relax.op.nn.pad(value, padding, "constant", float(args.value))


@converter("as_strided.default")
def as_strided(context: Context, args: Arguments) -> relax.Expr:
    """Elements of the flattened tensor at `storage_offset + sum(index * stride)`; a reshape where they are in order."""
    source, size = context.node.args[0].meta["val"], list(args.size)
    numbers = [*source.shape, *size, *args.stride]
    if not all(isinstance(number, int) for number in numbers) or not source.is_contiguous() or source.storage_offset():
        raise context.refuse("a view of a tensor that is dynamic or not contiguous", "use slices and permute")
    positions = np.full(size, args.storage_offset or 0, "int64")
    for axis, (extent, stride) in enumerate(zip(size, args.stride, strict=True)):
        shape = [-1 if other == axis else 1 for other in range(len(size))]
        positions += (np.arange(extent, dtype="int64") * stride).reshape(shape)
    if positions.size == source.numel() and np.array_equal(positions.ravel(), np.arange(positions.size)):
        return relax.op.reshape(args.self, size)
    flat = context.emit(relax.op.reshape(args.self, [-1]))
    return relax.op.take(flat, relax.const(positions, "int64"), axis=0)


@converter("pixel_shuffle.default")
def pixel_shuffle(context: Context, args: Arguments) -> relax.Expr:
    """[..., C * r^2, H, W] to [..., C, H * r, W * r]."""
    *batch, channels, height, width = shape_of(args.self)
    factor, rank = args.upscale_factor, len(batch)
    grid = context.emit(relax.op.reshape(args.self, [*batch, channels // factor**2, factor, factor, height, width]))
    order = [*range(rank), rank, rank + 3, rank + 1, rank + 4, rank + 2]
    mixed = context.emit(relax.op.permute_dims(grid, order))
    return relax.op.reshape(mixed, [*batch, channels // factor**2, height * factor, width * factor])
