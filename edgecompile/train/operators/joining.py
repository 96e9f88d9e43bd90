"""Operators that put tensors side by side, or take them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tvm import relax

from edgecompile.train.operator import operator


@operator("concat")
def concat(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    axis = call.attrs.axis
    if axis is None:
        return torch.cat([part.flatten() for part in arguments[0]])
    return torch.cat(arguments[0], int(axis))


@operator("stack")
def stack(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    return torch.stack(arguments[0], int(call.attrs.axis or 0))


@operator("split")
def split(call: relax.Call, arguments: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    """At some places, or into so many parts, of which the last may be smaller."""
    x, axis, found = arguments[0], int(call.attrs.axis), call.attrs.indices_or_sections
    if hasattr(found, "__len__"):
        return tuple(torch.tensor_split(x, [int(place) for place in found], axis))
    return tuple(torch.split(x, -(-x.shape[axis] // int(found)), axis))


@operator("strided_slice")
def strided_slice(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Bounds as in NumPy."""
    x, axes, begin, end, *strides = arguments
    steps = strides[0] if strides else (1,) * len(axes)
    for axis, low, high, step in zip(axes, begin, end, steps, strict=True):
        x = x.index_select(axis, torch.tensor(range(x.shape[axis])[low:high:step], dtype=torch.int64))
    return x
