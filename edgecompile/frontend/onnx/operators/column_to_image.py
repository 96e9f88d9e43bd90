"""Col2Im: overlapping blocks summed back into an image."""

from __future__ import annotations

import math
from typing import Any

from tvm import te, tirx

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of
from edgecompile.frontend.onnx.emit import reshape
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


@operator("Col2Im")
def column_to_image(context: Context, node: Node, inputs: Inputs) -> Result:
    """x: [N, C prod(block), L] -> [N, C, image...]; element k of block l is added where a convolution would read it."""
    image = [int(size) for size in context.require_constant(node, 1)]
    block = [int(size) for size in context.require_constant(node, 2)]
    rank = len(image)
    strides = node.integers("strides") or [1] * rank
    dilations = node.integers("dilations") or [1] * rank
    pads = node.integers("pads") or [0] * (2 * rank)
    n, channels, length = context.require_static(node, inputs[0])
    blocks = [
        (image[a] + pads[a] + pads[a + rank] - dilations[a] * (block[a] - 1) - 1) // strides[a] + 1 for a in range(rank)
    ]
    if math.prod(blocks) != length or channels % math.prod(block):
        raise node.invalid(
            f"{math.prod(blocks)} blocks of {math.prod(block)} were needed, found shape {[n, channels, length]}"
        )
    split = reshape(context, inputs[0], (n, channels // math.prod(block), *block, *blocks))

    def compute(data: te.Tensor) -> te.Tensor:
        axes = [te.reduce_axis((0, size), name="k") for size in block]

        def at(batch: Any, channel: Any, *place: Any) -> Any:
            offsets = [place[a] + pads[a] - axes[a] * dilations[a] for a in range(rank)]
            numbers = [tirx.floordiv(offset, stride) for offset, stride in zip(offsets, strides, strict=True)]
            valid = [
                tirx.all(offset >= 0, tirx.floormod(offset, stride) == 0, number < count)
                for offset, stride, number, count in zip(offsets, strides, numbers, blocks, strict=True)
            ]
            value = data(batch, channel, *axes, *numbers)
            return te.sum(tirx.if_then_else(tirx.all(*valid), value, tirx.const(0, dtype_of(inputs[0]))), axis=axes)

        return te.compute((n, channels // math.prod(block), *image), at, name="column_to_image")

    return context.emit_te(compute, split, name="column_to_image")
