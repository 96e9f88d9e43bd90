"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from tvm import relax

from edgecompile.train.operator import integers, name_of, operator, refused

_LAYOUTS = {("NCW", "OIW"), ("NCHW", "OIHW"), ("NCDHW", "OIDHW"), ("NCW", "IOW"), ("NCHW", "IOHW"), ("NCDHW", "IODHW")}


@operator("nn.conv1d", "nn.conv2d", "nn.conv3d")
def convolution(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """x [N, C, ...], weight [O, C / groups, ...]."""
    attributes = _checked(call)
    x, weight = arguments
    before, after = _padding(attributes)
    widths = [width for pair in zip(before[::-1], after[::-1], strict=True) for width in pair]
    if before != after:
        x, before = F.pad(x, widths), [0] * len(before)
    function = getattr(F, name_of(call).removeprefix("nn."))
    return function(
        x,
        weight,
        stride=integers(attributes.strides),
        padding=before,
        dilation=integers(attributes.dilation),
        groups=int(attributes.groups),
    )


@operator("nn.conv1d_transpose", "nn.conv2d_transpose", "nn.conv3d_transpose")
def transposed_convolution(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """x [N, C, ...], weight [C, O / groups, ...]; the padding is cut off."""
    attributes = _checked(call)
    x, weight = arguments
    before, after = _padding(attributes)
    dimensions = name_of(call)[len("nn.conv")]
    function = getattr(F, f"conv_transpose{dimensions}d")
    whole = function(
        x,
        weight,
        stride=integers(attributes.strides),
        dilation=integers(attributes.dilation),
        groups=int(attributes.groups),
    )
    more = integers(attributes.output_padding)
    ends = [extra - cut for extra, cut in zip(more, after, strict=True)]
    widths = [width for start, end in zip(before[::-1], ends[::-1], strict=True) for width in (-start, end)]
    return F.pad(whole, widths)


def _checked(call: relax.Call) -> Any:
    attributes = call.attrs
    layouts = (str(attributes.data_layout), str(attributes.kernel_layout))
    if layouts not in _LAYOUTS or str(attributes.out_layout) not in ("", layouts[0]):
        raise refused(call, f"with the layouts {', '.join(layouts)}")
    return attributes


def _padding(attributes: Any) -> tuple[list[int], list[int]]:
    """In front of each spatial axis, and behind it."""
    found = integers(attributes.padding)
    return found[: len(found) // 2], found[len(found) // 2 :]
