"""Operators that only rename dimensions: Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Expand, DepthToSpace, ..."""

from __future__ import annotations

import math
from typing import Any

from tvm import relax

from edgecompile.frontend.onnx.context import Context, Dim, Inputs, Result, rank_of, shape_of
from edgecompile.frontend.onnx.emit import broadcast_shape, normalized_axis
from edgecompile.frontend.onnx.emit import reshape as emit_reshape
from edgecompile.frontend.onnx.limits import check_dimensions
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.operators.quantize import permute
from edgecompile.frontend.onnx.registry import operator


@operator("Reshape")
def reshape(context: Context, node: Node, inputs: Inputs) -> Result:
    """The elements in another shape; 0 keeps a dimension (unless allowzero), one -1 takes what is left."""
    dims: list[Dim] = (
        list(node.integers("shape") or []) if "shape" in node.attributes else context.require_dims(node, 1)
    )
    old = shape_of(inputs[0])
    if not node.integer("allowzero", 0):
        if any(_is(dim, 0) and axis >= len(old) for axis, dim in enumerate(dims)):
            raise node.invalid(f"0 only for dimensions that the input has was needed, found {dims}")
        dims = [old[axis] if _is(dim, 0) else dim for axis, dim in enumerate(dims)]
    free = [axis for axis, dim in enumerate(dims) if _is(dim, -1)]
    if len(free) > 1 or any(isinstance(dim, int) and dim < -1 for dim in dims):
        raise node.invalid(f"at most one -1 among the new dimensions was needed, found {dims}")
    if all(isinstance(dim, int) for dim in (*dims, *old)):
        known = math.prod(dim for dim in dims if dim != -1)
        total = math.prod(old)
        if free:
            dims[free[0]] = total // known if known else 0
        if math.prod(dims) != total:
            raise node.invalid(f"a shape of {total} elements was needed, found {dims}")
    return emit_reshape(context, inputs[0], dims)


def _is(dim: Dim, number: int) -> bool:
    return isinstance(dim, int) and dim == number


@operator("Flatten")
def flatten(context: Context, node: Node, inputs: Inputs) -> Result:
    """A matrix: the dimensions before `axis`, and those from it on."""
    shape = shape_of(inputs[0])
    axis = node.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return emit_reshape(context, inputs[0], (math.prod(shape[:axis]), math.prod(shape[axis:])))


@operator("Squeeze")
def squeeze(context: Context, node: Node, inputs: Inputs) -> Result:
    """Without the dimensions of 1 at `axes`, or without all of them."""
    shape = shape_of(inputs[0])
    axes = node.integers("axes")
    if inputs[1] is not None:
        axes = [int(axis) for axis in context.require_constant(node, 1).reshape(-1)]
    if axes is None:
        chosen = {axis for axis, dim in enumerate(shape) if _is(dim, 1)}
    else:
        chosen = {normalized_axis(context, axis, len(shape)) for axis in axes}
    if any(isinstance(shape[axis], int) and shape[axis] != 1 for axis in chosen):
        raise node.invalid(f"dimensions of 1 at axes {sorted(chosen)} were needed, found shape {list(shape)}")
    return emit_reshape(context, inputs[0], [dim for axis, dim in enumerate(shape) if axis not in chosen])


@operator("Unsqueeze")
def unsqueeze(context: Context, node: Node, inputs: Inputs) -> Result:
    """With new dimensions of 1 at `axes`, counted in the result."""
    axes = node.integers("axes")
    if inputs[1] is not None:
        axes = [int(axis) for axis in context.require_constant(node, 1).reshape(-1)]
    rank = rank_of(inputs[0]) + len(axes or [])
    chosen = {normalized_axis(context, axis, rank) for axis in axes or []}
    if len(chosen) != len(axes or []):
        raise node.invalid(f"axes that differ were needed, found {axes}")
    rest = iter(shape_of(inputs[0]))
    return emit_reshape(context, inputs[0], [1 if axis in chosen else next(rest) for axis in range(rank)])


@operator("Transpose")
def transpose(context: Context, node: Node, inputs: Inputs) -> Result:
    """The dimensions in the order `perm`, by default reversed."""
    order = node.integers("perm")
    order = list(reversed(range(rank_of(inputs[0])))) if order is None else order
    if sorted(order) != list(range(rank_of(inputs[0]))):
        raise node.invalid(f"a permutation of {rank_of(inputs[0])} dimensions was needed, found {order}")
    return inputs[0] if order == sorted(order) else permute(context, inputs[0], order)


@operator("Expand")
def expand(context: Context, node: Node, inputs: Inputs) -> Result:
    """Broadcast with the given shape, both ways."""
    shape = broadcast_shape([shape_of(inputs[0]), context.require_dims(node, 1)])
    check_dimensions(node.name, [dim for dim in shape if isinstance(dim, int)])
    if shape == shape_of(inputs[0]):
        return inputs[0]
    return context.emit(relax.op.broadcast_to(inputs[0], shape))


@operator("Tile")
def tile(context: Context, node: Node, inputs: Inputs) -> Result:
    """Copies side by side, `repeats` along each dimension."""
    repeats = [int(count) for count in context.require_constant(node, 1)]
    sizes = [dim * count for dim, count in zip(shape_of(inputs[0]), repeats, strict=True)]
    check_dimensions(node.name, [size for size in sizes if isinstance(size, int)])
    return context.emit(relax.op.tile(inputs[0], repeats))


@operator("DepthToSpace")
def depth_to_space(context: Context, node: Node, inputs: Inputs) -> Result:
    """Blocks of channels [N, C b b, H, W] -> squares of pixels [N, C, H b, W b]."""
    n, c, h, w = shape_of(inputs[0])
    b = node.integer("blocksize")
    mode = node.string("mode", "DCR")
    if mode == "DCR":
        split: tuple[Any, ...] = (n, b, b, c // (b * b), h, w)
        order = [0, 3, 4, 1, 5, 2]
    else:
        split, order = (n, c // (b * b), b, b, h, w), [0, 1, 4, 2, 5, 3]
    turned = context.emit(relax.op.permute_dims(emit_reshape(context, inputs[0], split), order))
    return emit_reshape(context, turned, (n, c // (b * b), h * b, w * b))


@operator("SpaceToDepth")
def space_to_depth(context: Context, node: Node, inputs: Inputs) -> Result:
    """Squares of pixels [N, C, H b, W b] -> blocks of channels [N, C b b, H, W]."""
    n, c, h, w = shape_of(inputs[0])
    b = node.integer("blocksize")
    split = emit_reshape(context, inputs[0], (n, c, h // b, b, w // b, b))
    order = [0, 3, 5, 1, 2, 4] if node.string("mode", "DCR") == "DCR" else [0, 1, 3, 5, 2, 4]
    turned = context.emit(relax.op.permute_dims(split, order))
    return emit_reshape(context, turned, (n, c * b * b, h // b, w // b))
