"""Operators that put the same numbers elsewhere, and tensors of one number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from tvm import relax

from edgecompile.train.operator import integers, name_of, operator, refused


@operator("reshape", "broadcast_to")
def to_shape(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    x, shape = arguments
    return x.reshape(shape) if name_of(call) == "reshape" else x.expand(shape)


@operator("flatten", "nn.batch_flatten")
def flatten(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    return arguments[0].flatten(1 if name_of(call) == "nn.batch_flatten" else 0)


@operator("squeeze")
def squeeze(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    axes = call.attrs.axis
    return arguments[0].squeeze() if axes is None else arguments[0].squeeze(tuple(integers(axes)))


@operator("expand_dims")
def expand_dims(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Axes are counted in the result."""
    x, axes = arguments[0], integers(call.attrs.axis)
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operator("permute_dims")
def permute_dims(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    x, axes = arguments[0], call.attrs.axes
    return x.permute(integers(axes) if axes is not None else list(range(x.ndim))[::-1])


@operator("flip")
def flip(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    return arguments[0].flip(int(call.attrs.axis))


@operator("tile")
def tile(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    return arguments[0].tile(integers(call.attrs.repeats))


@operator("repeat")
def repeat(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    axis = call.attrs.axis
    return arguments[0].repeat_interleave(int(call.attrs.repeats), None if axis is None else int(axis))


@operator("nn.pad")
def pad(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    if str(call.attrs.pad_mode) != "constant":
        raise refused(call, f"of mode {call.attrs.pad_mode}")
    widths = integers(call.attrs.pad_width)
    pairs = [widths[place : place + 2] for place in range(0, len(widths), 2)]
    return F.pad(arguments[0], [width for pair in pairs[::-1] for width in pair], value=float(call.attrs.pad_value))


@operator("full", "zeros", "ones")
def full(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    dtype = getattr(torch, str(call.ty.dtype))
    if name_of(call) == "full":
        return arguments[1].to(dtype).expand(arguments[0])
    return torch.full(arguments[0], float(name_of(call) == "ones"), dtype=dtype)
