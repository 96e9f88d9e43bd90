"""Operators on regions and deformed windows of feature maps: RoiAlign, MaxRoiPool, DeformConv, NonMaxSuppression."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import te, tirx
from tvm.relax import op

from edgecompile.frontend.onnx import sampling
from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, make_constant
from edgecompile.frontend.onnx.emit import cast, reshape
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


@operator("RoiAlign")
def roi_align(context: Context, node: Node, inputs: Inputs) -> Result:
    """x [N, C, H, W], rois [R, 4] as x1, y1, x2, y2, image index of each [R] -> [R, C, output_height, output_width]."""
    x, rois, batch = inputs[0], inputs[1], cast(context, inputs[2], "int32")
    shape, (count, _) = context.require_static(node, x), context.require_static(node, rois)
    size = (node.integer("output_height", 1), node.integer("output_width", 1))
    ratio, scale = node.integer("sampling_ratio", 0), node.floating("spatial_scale", 1.0)
    mode = node.string("mode", "avg")
    if mode not in ("avg", "max"):
        raise node.invalid(f"mode must be avg or max, found {mode!r}")
    half_pixel = node.string("coordinate_transformation_mode", "half_pixel" if node.opset >= 16 else "") == "half_pixel"
    dtype = dtype_of(rois)
    reading = sampling.linear if mode == "avg" else _largest_corner

    def number(value: float) -> Any:
        return sampling.constant(value, dtype)

    def compute(image: te.Tensor, regions: te.Tensor, index: te.Tensor) -> te.Tensor:
        def at(r: Any, c: Any, ph: Any, pw: Any) -> Any:
            starts, bins, grids = [], [], []
            for axis in range(2):  # y, then x; a region stores x first
                offset = number(0.5 if half_pixel else 0.0)
                start = regions(r, 1 - axis) * number(scale) - offset
                length = regions(r, 3 - axis) * number(scale) - offset - start
                if not half_pixel:
                    length = te.max(length, number(1))
                starts.append(start)
                bins.append(length / number(size[axis]))
                adaptive = te.ceil(length / number(size[axis])).astype("int32")
                grids.append(tirx.const(ratio, "int32") if ratio > 0 else adaptive)
            axes = [te.reduce_axis((0, grid), name="sample") for grid in grids]
            position = [
                start + step * window.astype(dtype) + (k.astype(dtype) + number(0.5)) * step / grid.astype(dtype)
                for start, step, window, k, grid in zip(starts, bins, (ph, pw), axes, grids, strict=True)
            ]
            value = _clipped(image, (index(r), c), position, reading)
            if mode == "max":
                return te.max(value, axis=axes)
            total = te.max(grids[0] * grids[1], tirx.const(1, "int32"))
            return te.sum(value / total.astype(str(image.dtype)), axis=axes)

        return te.compute((count, shape[1], *size), at, name="roi_align")

    return context.emit_te(compute, x, rois, batch, name="roi_align")


def _clipped(image: te.Tensor, prefix: tuple[Any, ...], position: list[Any], reading: Any) -> Any:
    """0 more than one step outside the image, else what `reading` gives at the position moved into the image."""
    dtype = sampling.element_dtype(position[0])
    outside = tirx.const(False, "bool")
    inner = []
    for x, size in zip(position, image.shape[2:], strict=True):
        outside = tirx.any(outside, x < sampling.constant(-1, dtype), x > sampling.constant(int(size), dtype))
        inner.append(sampling.clamp(x, sampling.constant(0, dtype), sampling.constant(int(size) - 1, dtype)))
    return tirx.Select(outside, sampling.constant(0, str(image.dtype)), reading(image, prefix, inner))


def _largest_corner(image: te.Tensor, prefix: tuple[Any, ...], position: list[Any]) -> Any:
    """The largest of the four corners, each times its bilinear weight: ONNX's meaning of `max`."""
    dtype = str(image.dtype)
    floors = [te.floor(x) for x in position]
    fractions = [(x - low).astype(dtype) for x, low in zip(position, floors, strict=True)]
    largest = None
    for dy in (0, 1):
        for dx in (0, 1):
            weights = [
                f if bit else sampling.constant(1, dtype) - f for f, bit in zip(fractions, (dy, dx), strict=True)
            ]
            at = [
                low + sampling.constant(bit, sampling.element_dtype(low))
                for low, bit in zip(floors, (dy, dx), strict=True)
            ]
            value = weights[0] * weights[1] * sampling.point(image, prefix, at, "border", False)
            largest = value if largest is None else te.max(largest, value)
    return largest


@operator("MaxRoiPool")
def max_roi_pool(context: Context, node: Node, inputs: Inputs) -> Result:
    """x [N, C, H, W], rois [R, 5] as image, x1, y1, x2, y2 -> [R, C, *pooled_shape], by Relax's operator."""
    size = node.integers("pooled_shape")
    if size is None or len(size) != 2:
        raise node.invalid("pooled_shape of two integers was needed")
    pooled = op.vision.roi_pool(inputs[0], inputs[1], tuple(size), node.floating("spatial_scale", 1.0))
    return context.emit(pooled)


@operator("DeformConv")
def deform_conv(context: Context, node: Node, inputs: Inputs) -> Result:
    """A convolution whose taps are moved by `offset` and weighted by `mask`: interpolation, then a product.

    x [N, C, D..], w [M, C / group, K..], offset [N, G * prod(K) * r, O..], bias [M], mask [N, G * prod(K), O..]
    -> columns [N, group, C / group * prod(K), prod(O)] -> [N, M, O..]
    """
    x, w, offset, bias, mask = (inputs[index] for index in range(5))
    x_shape, w_shape = context.require_static(node, x), context.require_static(node, w)
    offset_shape = context.require_static(node, offset)
    rank, kernel, out = len(x_shape) - 2, w_shape[2:], offset_shape[2:]
    strides, dilations = node.integers("strides") or [1] * rank, node.integers("dilations") or [1] * rank
    pads, group = node.integers("pads") or [0] * (2 * rank), node.integer("group", 1)
    offset_groups, taps, dtype = node.integer("offset_group", 1), math.prod(kernel), dtype_of(x)
    if offset_shape[1] != offset_groups * taps * rank or x_shape[1] % max(offset_groups, 1):
        raise node.invalid(f"offset needs {offset_groups * taps * rank} channels, found {offset_shape[1]}")
    per_group = x_shape[1] // offset_groups

    def compute(image: te.Tensor, moved: te.Tensor, *weight: te.Tensor) -> te.Tensor:
        def at(n: Any, c: Any, *rest: Any) -> Any:
            k, o = rest[:rank], rest[rank:]
            tap = _flat(k, kernel)
            channel = (c // per_group) * taps + tap
            position = [
                (o[i] * strides[i] + k[i] * dilations[i] - pads[i]).astype(dtype) + moved(n, channel * rank + i, *o)
                for i in range(rank)
            ]
            value = sampling.linear(image, (n, c), position)
            return value * weight[0](n, channel, *o) if weight else value

        return te.compute((*x_shape[:2], *kernel, *out), at, name="deformed_columns")

    columns = context.emit_te(compute, x, offset, *([] if mask is None else [mask]), name="deformed_columns")
    depth = x_shape[1] // group * taps
    columns = reshape(context, columns, (x_shape[0], group, depth, math.prod(out)))
    weights = reshape(context, w, (group, w_shape[0] // group, depth))
    result = reshape(context, context.emit(op.matmul(weights, columns)), (x_shape[0], w_shape[0], *out))
    if bias is None:
        return result
    return context.emit(op.add(result, reshape(context, bias, (1, w_shape[0], *[1] * rank))))


def _flat(indices: tuple[Any, ...], sizes: tuple[int, ...]) -> Any:
    """Row-major position of `indices` in a tensor of `sizes`."""
    position: Any = 0
    for index, size in zip(indices, sizes, strict=True):
        position = position * size + index
    return position


@operator("NonMaxSuppression")
def non_max_suppression(context: Context, node: Node, inputs: Inputs) -> Result:
    """The number of boxes that remain depends on the data, so only the case that keeps none can be compiled."""
    most = 0 if inputs[2] is None else int(context.require_constant(node, 2).reshape(-1)[0])
    if most <= 0:
        return make_constant(np.zeros((0, 3), np.int64))
    raise node.unsupported(
        "the number of boxes that remain is only known at run time; cut the model before it and select them in the app"
    )
