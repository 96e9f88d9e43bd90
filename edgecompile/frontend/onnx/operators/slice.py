"""Cutting and joining: Slice, Split, Concat, Pad, CenterCropPad, Trilu, ReverseSequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax, te, tirx

from edgecompile.frontend.onnx.context import (
    Context,
    Dim,
    Inputs,
    Result,
    dtype_of,
    is_float,
    make_constant,
    rank_of,
    shape_of,
)
from edgecompile.frontend.onnx.emit import normalized_axis, reshape, same_dim, scalar
from edgecompile.frontend.onnx.limits import check_dimensions
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


@operator("Slice")
def slice_attributes(context: Context, node: Node, inputs: Inputs) -> Result:
    """Before opset 10: bounds as attributes."""
    starts, ends = node.integers("starts") or [], node.integers("ends") or []
    axes = node.integers("axes") or list(range(len(starts)))
    return _slice(context, node, inputs[0], starts, ends, axes, [1] * len(starts))


@operator("Slice", since=10)
def slice_inputs(context: Context, node: Node, inputs: Inputs) -> Result:
    """Elements from start to end in steps, which may be negative, along the given axes."""
    starts, ends = context.require_dims(node, 1), context.require_dims(node, 2)
    axes = list(range(len(starts))) if inputs[3] is None else [int(a) for a in context.require_constant(node, 3)]
    steps = [1] * len(starts) if inputs[4] is None else [int(s) for s in context.require_constant(node, 4)]
    return _slice(context, node, inputs[0], starts, ends, axes, steps)


def _slice(
    context: Context,
    node: Node,
    x: relax.Expr,
    starts: Sequence[Dim],
    ends: Sequence[Dim],
    axes: Sequence[int],
    steps: Sequence[int],
) -> relax.Expr:
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise node.invalid("as many starts as ends, axes and steps other than 0 were needed")
    shape = shape_of(x)
    begin: list[Dim] = [0] * len(shape)
    stop: list[Dim] = list(shape)
    stride = [1] * len(shape)
    for start, end, axis_given, step in zip(starts, ends, axes, steps, strict=True):
        axis = normalized_axis(context, axis_given, len(shape))
        begin[axis], stop[axis] = _bounds(node, start, end, step, shape[axis])
        stride[axis] = step
    if min(stride, default=1) > 0:
        chosen = [
            axis
            for axis, size in enumerate(shape)
            if stride[axis] != 1 or not same_dim(begin[axis], 0) or not same_dim(stop[axis], size)
        ]
        if not chosen:
            return x
        bounds = ([values[axis] for axis in chosen] for values in (begin, stop, stride))
        return context.emit(relax.op.strided_slice(x, chosen, *bounds))
    counts = [-((b - e) // s) if s > 0 else (b - e - s - 1) // -s for b, e, s in zip(begin, stop, stride, strict=True)]

    def compute(data: te.Tensor) -> te.Tensor:
        return te.compute(
            counts, lambda *at: data(*[b + i * s for b, i, s in zip(begin, at, stride, strict=True)]), name="slice"
        )

    return context.emit_te(compute, x, name="slice")


def _bounds(node: Node, start: Dim, end: Dim, step: int, size: Dim) -> tuple[Dim, Dim]:
    """Start and end counted from the front and clamped, as Python's `slice.indices` does."""
    if isinstance(start, int) and isinstance(end, int) and isinstance(size, int):
        first, last, _ = slice(start, end if end >= -size or step > 0 else None, step).indices(size)
        return first, max(first, last) if step > 0 else min(first, last)
    if step < 0:
        raise node.unsupported("a known dimension was needed for a negative step; give the inputs' shapes")
    first = size + start if isinstance(start, int) and start < 0 else start
    if isinstance(end, int):
        last = (
            size + end
            if end < 0
            else size
            if end >= 2**31 - 1
            else tirx.min(size, end)
            if not isinstance(size, int)
            else end
        )
    else:
        last = end
    return first, last


@operator("Split")
def split(context: Context, node: Node, inputs: Inputs) -> Result:
    """Pieces along one axis: of the sizes given, or as equal as can be with a smaller last one."""
    x = inputs[0]
    axis = normalized_axis(context, node.integer("axis", 0), rank_of(x))
    size = shape_of(x)[axis]
    if not isinstance(size, int):
        raise node.unsupported("a known dimension was needed to split; give the inputs' shapes")
    sizes = node.integers("split")
    if inputs[1] is not None:
        sizes = [int(part) for part in context.require_constant(node, 1)]
    if sizes is None:
        count = node.integer("num_outputs", len(node.outputs))
        each = -(-size // count)
        sizes = [min(each, max(size - each * index, 0)) for index in range(count)]
    if sum(sizes) != size or min(sizes, default=0) < 0 or len(sizes) < len(node.outputs):
        raise node.invalid(f"{len(node.outputs)} sizes that add up to {size} were needed, found {sizes}")
    if len(sizes) == 1:
        return x
    ends = np.cumsum(sizes).tolist()
    if min(sizes) > 0:
        return context.unpack(context.emit(relax.op.split(x, ends[:-1], axis)))
    return tuple(
        context.emit(relax.op.strided_slice(x, [axis], [end - part], [end], [1]))
        for end, part in zip(ends, sizes, strict=True)
    )


@operator("Concat")
def concat(context: Context, node: Node, inputs: Inputs) -> Result:
    """The inputs one after the other along `axis`; inputs without elements are left out."""
    axis = normalized_axis(context, node.integer("axis", 1), rank_of(inputs[0]))
    filled = [value for value in inputs if not (isinstance(shape_of(value)[axis], int) and shape_of(value)[axis] == 0)]
    if len(filled) <= 1:
        return filled[0] if filled else inputs[0]
    return context.emit(relax.op.concat(filled, axis))


@operator("Pad")
def pad(context: Context, node: Node, inputs: Inputs) -> Result:
    """More (or, with negative pads, fewer) elements around: a constant, or by reflecting, repeating or wrapping x."""
    x = inputs[0]
    rank = rank_of(x)
    pads = node.integers("pads")
    if pads is None:
        pads = [int(count) for count in context.require_constant(node, 1)]
    axes = list(range(rank))
    if inputs[3] is not None:
        axes = [normalized_axis(context, int(axis), rank) for axis in context.require_constant(node, 3)]
    if len(pads) != 2 * len(axes):
        raise node.invalid(f"{2 * len(axes)} pads were needed, found {len(pads)}")
    before, after = [0] * rank, [0] * rank
    for index, axis in enumerate(axes):
        before[axis], after[axis] = pads[index], pads[index + len(axes)]
    fill = inputs[2] if inputs[2] is not None else scalar(node.floating("value", 0.0), dtype_of(x))
    return emit_pad(context, x, before, after, node.string("mode", "constant"), reshape(context, fill, ()))


def emit_pad(
    context: Context, x: relax.Expr, before: Sequence[int], after: Sequence[int], mode: str, fill: relax.Expr
) -> relax.Expr:
    """`x` with `before` and `after` elements more per dimension, or fewer where negative; `fill` is a scalar."""
    if not any((*before, *after)):
        return x
    number = context.constant(fill)
    if mode == "constant" and number is not None and is_float(dtype_of(x)) and min((*before, *after)) >= 0:
        widths = [width for pair in zip(before, after, strict=True) for width in pair]
        return context.emit(relax.op.nn.pad(x, widths, pad_value=float(number)))
    shape = context.require_static(context.node, x)
    sizes = [size + b + a for size, b, a in zip(shape, before, after, strict=True)]
    check_dimensions(context.node.name, sizes)
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise context.node.invalid(f"a mode of constant, reflect, edge or wrap was needed, found '{mode}'")
    if mode != "constant" and 0 in shape:
        raise context.node.invalid(f"at least one element was needed to {mode}, found none")

    def source(index: Any, size: int) -> Any:
        if mode == "edge":
            return tirx.max(tirx.min(index, size - 1), 0)
        if mode == "wrap":
            return tirx.floormod(index, size)
        period = max(2 * (size - 1), 1)  # reflect: 0 1 2 3 2 1 | 0 1 2 3 ...
        place = tirx.floormod(index, period)
        return tirx.min(place, period - place) if size > 1 else 0

    def compute(data: te.Tensor, value: te.Tensor) -> te.Tensor:
        def at(*indices: Any) -> Any:
            places = [index - b for index, b in zip(indices, before, strict=True)]
            if mode != "constant":
                return data(*[source(place, size) for place, size in zip(places, shape, strict=True)])
            inside = tirx.all(*[tirx.all(p >= 0, p < size) for p, size in zip(places, shape, strict=True)])
            return tirx.if_then_else(inside, data(*places), value())

        return te.compute(sizes, at, name="pad")

    return context.emit_te(compute, x, fill, name=f"pad_{mode}")


@operator("CenterCropPad")
def center_crop_pad(context: Context, node: Node, inputs: Inputs) -> Result:
    """The middle of x, cropped or padded with zeros to the given size along `axes`."""
    shape = context.require_static(node, inputs[0])
    axes = node.integers("axes")
    chosen = list(range(len(shape))) if axes is None else [normalized_axis(context, axis, len(shape)) for axis in axes]
    before, after = [0] * len(shape), [0] * len(shape)
    for axis, want in zip(chosen, context.require_constant(node, 1).tolist(), strict=True):
        spare = want - shape[axis]
        before[axis] = spare // 2 if spare >= 0 else -(-spare // 2)
        after[axis] = spare - before[axis]
    return emit_pad(context, inputs[0], before, after, "constant", scalar(0, dtype_of(inputs[0])))


@operator("Trilu")
def triangle(context: Context, node: Node, inputs: Inputs) -> Result:
    """The upper or lower triangle of each matrix from diagonal `k` on, zeros elsewhere."""
    x = inputs[0]
    upper = bool(node.integer("upper", 1))
    k = make_constant(np.array(0, np.int64)) if inputs[1] is None else reshape(context, inputs[1], ())
    zero = tirx.const(0, dtype_of(x))

    def compute(data: te.Tensor, diagonal: te.Tensor) -> te.Tensor:
        def at(*indices: Any) -> Any:
            distance = (indices[-1] - indices[-2]).astype("int64")
            keep = distance >= diagonal() if upper else distance <= diagonal()
            return tirx.Select(keep, data(*indices), zero)

        return te.compute(shape_of(x), at, name="triangle")

    return context.emit_te(compute, x, k, name="triangle")


@operator("ReverseSequence")
def reverse_sequence(context: Context, node: Node, inputs: Inputs) -> Result:
    """Each sequence's first `length` elements backwards, the rest as they are."""
    x, lengths = inputs[0], inputs[1]
    batch, time = node.integer("batch_axis", 1), node.integer("time_axis", 0)

    def compute(data: te.Tensor, length: te.Tensor) -> te.Tensor:
        def at(*indices: Any) -> Any:
            count = length(indices[batch])
            here = indices[time].astype("int64")
            place = list(indices)
            place[time] = tirx.Select(here < count, count - 1 - here, here)
            return data(*place)

        return te.compute(shape_of(x), at, name="reverse_sequence")

    return context.emit_te(compute, x, lengths, name="reverse_sequence")
