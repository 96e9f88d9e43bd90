"""Maxima and averages over windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from tvm import relax

from edgecompile.train.operator import integers, name_of, operator, refused


@operator(*(f"nn.max_pool{rank}d" for rank in (1, 2, 3)))
def max_pool(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Padding is never the largest."""
    x, _ = _padded(call, arguments[0], -torch.inf)
    attributes = call.attrs
    function = getattr(F, name_of(call).removeprefix("nn."))
    sizes, strides, dilation = map(integers, (attributes.pool_size, attributes.strides, attributes.dilation))
    return function(x, sizes, strides, dilation=dilation)


@operator(*(f"nn.avg_pool{rank}d" for rank in (1, 2, 3)))
def average_pool(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """The sum of a window by the number of its values, with the padding or without."""
    attributes, image = call.attrs, arguments[0]
    if any(step != 1 for step in integers(attributes.dilation)):
        raise refused(call, "with dilation")
    x, (before, after, more) = _padded(call, image, 0.0)
    counted = F.pad(torch.ones_like(image), _widths(before, after), value=float(bool(attributes.count_include_pad)))
    counted = F.pad(counted, _widths([0] * len(before), more))
    function = getattr(F, name_of(call).removeprefix("nn."))
    sizes, strides = integers(attributes.pool_size), integers(attributes.strides)
    return function(x, sizes, strides) / function(counted, sizes, strides)


@operator(*(f"nn.adaptive_{kind}_pool{rank}d" for kind in ("avg", "max") for rank in (1, 2, 3)))
def adaptive_pool(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Windows of the sizes that the result's extents ask for."""
    _check_layout(call)
    function = getattr(F, name_of(call).removeprefix("nn."))
    return function(arguments[0], integers(call.ty.shape.values[2:]))


def _padded(call: relax.Call, x: torch.Tensor, value: float) -> tuple[torch.Tensor, tuple[list[int], ...]]:
    """With padding; behind an axis as much as the last window needs, which may be more, or less.

    Returns:
        the tensor; by axis, the padding in front and behind, and what is added to the latter.
    """
    _check_layout(call)
    attributes = call.attrs
    padding = integers(attributes.padding)
    before, after = padding[: len(padding) // 2], padding[len(padding) // 2 :]
    more = []
    for axis, (size, stride, dilation) in enumerate(
        zip(*map(integers, (attributes.pool_size, attributes.strides, attributes.dilation)), strict=True)
    ):
        extent = x.shape[2 + axis] + before[axis] + after[axis]
        span = (size - 1) * dilation + 1
        windows = -(-(extent - span) // stride) + 1 if attributes.ceil_mode else (extent - span) // stride + 1
        known = call.ty.shape.values[2 + axis]
        windows = int(known) if hasattr(known, "value") else windows
        more.append((windows - 1) * stride + span - extent)
    widths = _widths(before, [one + other for one, other in zip(after, more, strict=True)])
    return F.pad(x, widths, value=value), (before, after, more)


def _widths(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """As `pad` takes them, the last axis first."""
    return [width for pair in zip(before[::-1], after[::-1], strict=True) for width in pair]


def _check_layout(call: relax.Call) -> None:
    if not str(call.attrs.layout).startswith("NC") or str(call.attrs.out_layout) not in ("", str(call.attrs.layout)):
        raise refused(call, f"with the layout {call.attrs.layout}")
