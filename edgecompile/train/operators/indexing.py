"""Operators that read by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tvm import relax

from edgecompile.train.operator import operator


@operator("take")
def take(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """y[..., i, ...] = x[..., index[i], ...]; numbers that are out of range count from the end, or are the nearest."""
    x, index = arguments
    axis = call.attrs.axis
    x, axis = (x.flatten(), 0) if axis is None else (x, int(axis) % x.ndim)
    index = torch.as_tensor(index).long()
    extent = x.shape[axis]
    index = index.clamp(0, extent - 1) if str(call.attrs.mode) == "clip" else index % extent
    return x.index_select(axis, index.flatten()).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


@operator("gather_elements")
def gather_elements(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    x, index = arguments
    axis = int(call.attrs.axis)
    return torch.gather(x, axis, index.long() % x.shape[axis])
