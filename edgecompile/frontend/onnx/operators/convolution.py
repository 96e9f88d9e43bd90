"""Conv and ConvTranspose over one to three spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, is_half, rank_of, shape_of
from edgecompile.frontend.onnx.emit import cast, reshape
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator
from edgecompile.frontend.onnx.window import read_window

_FORWARD = {1: relax.op.nn.conv1d, 2: relax.op.nn.conv2d, 3: relax.op.nn.conv3d}
_TRANSPOSED = {1: relax.op.nn.conv1d_transpose, 2: relax.op.nn.conv2d_transpose, 3: relax.op.nn.conv3d_transpose}


@operator("Conv")
def conv(context: Context, node: Node, inputs: Inputs) -> Result:
    """x: [N, C, spatial...], weight: [M, C / group, kernel...], bias: [M] -> [N, M, spatial...]."""
    x, weight = inputs[0], inputs[1]
    spatial = _spatial_rank(node, x, weight)
    window = read_window(node, _kernel(context, node, weight), shape_of(x)[2:])
    result = context.emit(
        _FORWARD[spatial](
            x,
            weight,
            strides=window.strides,
            padding=window.pads,
            dilation=window.dilations,
            groups=node.integer("group", 1),
            out_dtype=_sum_dtype(x),
        )
    )
    return _add_bias(context, result, inputs[2], dtype_of(x))


@operator("ConvTranspose")
def conv_transpose(context: Context, node: Node, inputs: Inputs) -> Result:
    """x: [N, C, spatial...], weight: [C, M / group, kernel...], bias: [M] -> [N, M, spatial...]."""
    x, weight = inputs[0], inputs[1]
    spatial = _spatial_rank(node, x, weight)
    kernel = _kernel(context, node, weight)
    strides = node.integers("strides") or [1] * spatial
    dilations = node.integers("dilations") or [1] * spatial
    padding = node.integers("output_padding") or [0] * spatial
    pads = node.integers("pads") or [0] * (2 * spatial)
    extents = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    mode = node.string("auto_pad", "NOTSET")
    wanted = node.integers("output_shape")
    if wanted is None and mode.startswith("SAME"):
        wanted = [int(size) * s for size, s in zip(context.require_static(node, x)[2:], strides, strict=True)]
    if wanted is not None:
        sizes = context.require_static(node, x)[2:]
        pads = _pads_for(sizes, wanted[-spatial:], strides, extents, padding, mode)
    if min(pads) >= 0 and all(extra < stride for extra, stride in zip(padding, strides, strict=True)):
        direct_pads, direct_padding, crop = pads, padding, False
    else:  # Relax takes no negative pads and no output padding as wide as a stride: pad or crop afterwards
        direct_pads, direct_padding, crop = [0] * (2 * spatial), [0] * spatial, True
    result = context.emit(
        _TRANSPOSED[spatial](
            x,
            weight,
            strides=strides,
            padding=direct_pads,
            output_padding=direct_padding,
            dilation=dilations,
            groups=node.integer("group", 1),
            out_dtype=_sum_dtype(x),
        )
    )
    if crop:
        ends = [extra - pad for extra, pad in zip(padding, pads[spatial:], strict=True)]
        result = _resize_border(context, result, [-pad for pad in pads[:spatial]], ends)
    return _add_bias(context, result, inputs[2], dtype_of(x))


def _spatial_rank(node: Node, x: relax.Expr, weight: relax.Expr) -> int:
    spatial = rank_of(x) - 2
    if spatial not in _FORWARD or rank_of(weight) != spatial + 2:
        raise node.unsupported(f"one to three spatial dimensions were needed, found an input of rank {rank_of(x)}")
    return spatial


def _kernel(context: Context, node: Node, weight: relax.Expr) -> list[int]:
    given = node.integers("kernel_shape")
    sizes = list(context.require_static(node, weight)[2:])
    if given is not None and given != sizes:
        raise node.invalid(f"a kernel_shape of {sizes} as the weight has was needed, found {given}")
    return sizes


def _pads_for(
    sizes: Sequence[int],
    wanted: Sequence[int],
    strides: Sequence[int],
    extents: Sequence[int],
    padding: Sequence[int],
    mode: str,
) -> list[int]:
    """The pads, beginnings then ends, that make a transposed convolution's output have the sizes `wanted`."""
    begins, ends = [], []
    for size, want, stride, extent, extra in zip(sizes, wanted, strides, extents, padding, strict=True):
        total = (size - 1) * stride + extra + extent - want
        half = total // 2
        begin = half if mode == "SAME_UPPER" else total - half
        begins.append(max(begin, 0) if total >= 0 else 0)
        ends.append(total - begins[-1])
    return [*begins, *ends]


def _resize_border(context: Context, x: relax.Expr, begins: Sequence[int], ends: Sequence[int]) -> relax.Expr:
    """`x` with zeros added (positive) or elements taken away (negative) at both ends of its spatial dimensions."""
    shape = context.require_static(context.node, x)
    grow = [0, 0, 0, 0]
    for begin, end in zip(begins, ends, strict=True):
        grow += [max(begin, 0), max(end, 0)]
    if any(grow):
        x = context.emit(relax.op.nn.pad(x, grow))
    starts = [max(-begin, 0) for begin in begins]
    stops = [
        size + max(begin, 0) + max(end, 0) - max(-end, 0)
        for size, begin, end in zip(shape[2:], begins, ends, strict=True)
    ]
    return context.emit(relax.op.strided_slice(x, list(range(2, len(shape))), starts, stops, [1] * len(starts)))


def _sum_dtype(x: relax.Expr) -> str:
    """Sums of 16-bit floats are kept in float32, as every other runtime does."""
    return "float32" if is_half(dtype_of(x)) else dtype_of(x)


def _add_bias(context: Context, result: relax.Expr, bias: relax.Expr | None, dtype: str) -> relax.Expr:
    if bias is not None:
        wide = cast(context, bias, dtype_of(result))
        shaped = reshape(context, wide, (1, shape_of(bias)[0], *[1] * (rank_of(result) - 2)))
        result = context.emit(relax.op.add(result, shaped))
    return cast(context, result, dtype)
