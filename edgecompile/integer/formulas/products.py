"""Sums of products of int8 tensors: convolutions and matrix products, in int32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from edgecompile.integer.formulas.extents import extents, reduction_axis

if TYPE_CHECKING:
    from tvm import ir, te

T = TypeVar("T")


def convolve(
    x: te.Tensor,
    weight: te.Tensor,
    bias: te.Tensor,
    strides: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    zero_point: int,
) -> te.Tensor:
    """int32 sums of `(x - zero_point) * weight`, and the bias; what pads x counts as zero.

    Args:
        x: `[N, C, H, W]` int8.
        weight: `[K, C / groups, KH, KW]` int8 or int16.
        bias: `[K]` int32.
        padding: top, left, bottom, right.
    """
    from tvm import te, tirx

    images, _, height, width = (int(extent) for extent in x.shape)
    out_channels, group_channels, kernel_height, kernel_width = (int(extent) for extent in weight.shape)
    top, left, bottom, right = padding
    out_height = (height + top + bottom - (kernel_height - 1) * dilation[0] - 1) // strides[0] + 1
    out_width = (width + left + right - (kernel_width - 1) * dilation[1] - 1) // strides[1] + 1
    c, i, j = (
        reduction_axis(extent, name)
        for extent, name in ((group_channels, "c"), (kernel_height, "i"), (kernel_width, "j"))
    )

    def term(n: ir.Expr, k: ir.Expr, oh: ir.Expr, ow: ir.Expr) -> ir.Expr:
        ih = oh * strides[0] + i * dilation[0] - top
        iw = ow * strides[1] + j * dilation[1] - left
        channel = tirx.floordiv(k, out_channels // groups) * group_channels + c
        inside = tirx.all(ih >= 0, ih < height, iw >= 0, iw < width)
        value = tirx.Cast("int32", x[n, channel, ih, iw]) - zero_point
        factor = tirx.Cast("int32", weight[k, c, i, j])
        return te.sum(tirx.if_then_else(inside, value, tirx.const(0, "int32")) * factor, axis=[c, i, j])

    sums = te.compute(extents(images, out_channels, out_height, out_width), term, name="integer_conv2d")
    return te.compute(sums.shape, lambda n, k, h, w: sums[n, k, h, w] + bias[k], name="biased")


def multiply(
    a: te.Tensor,
    b: te.Tensor,
    zero_point: int,
    other_zero_point: int,
    axes: Sequence[int] = (),
    other_axes: Sequence[int] = (),
    notes: Mapping[str, str] | None = None,
) -> te.Tensor:
    """int32 `(a - zero_point) @ (b - other_zero_point)`.

    Args:
        a: `[*batch, M, K]` int8.
        b: `[*batch, K, N]` int8 or int16 of the same batch, or `[K, N]`.
        axes, other_axes: the order in which the dimensions of a and b make these shapes; () leaves them as they are.
        notes: annotations of the block.
    """
    from tvm import te, tirx

    shape, other = ordered(a.shape, axes), ordered(b.shape, other_axes)
    k = reduction_axis(int(shape[-1]), "k")
    has_batch = len(b.shape) > 2

    def term(*indices: ir.Expr) -> ir.Expr:
        *batch, m, n = indices
        place = [*batch, k, n] if has_batch else [k, n]
        left = tirx.Cast("int32", a(*places_of([*batch, m, k], axes))) - zero_point
        right = tirx.Cast("int32", b(*places_of(place, other_axes))) - other_zero_point
        return te.sum(left * right, axis=[k])

    return te.compute([*shape[:-1], other[-1]], term, name="integer_matmul", attrs=notes)


def ordered(shape: Sequence[T], axes: Sequence[int]) -> list[T]:
    """The extents of a tensor whose dimensions are taken in the order of `axes`; () leaves them as they are."""
    return [shape[axis] for axis in axes] if axes else list(shape)


def places_of(indices: Sequence[T], axes: Sequence[int]) -> list[T]:
    """Where the element at `indices` of the tensor in that order lies in the tensor itself."""
    return [indices[list(axes).index(at)] for at in range(len(axes))] if axes else list(indices)
