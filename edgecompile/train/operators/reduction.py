"""Reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tvm import relax

from edgecompile.train.operator import name_of, operator

_FUNCTIONS = {
    "mean": torch.mean,
    "sum": torch.sum,
    "max": torch.amax,
    "min": torch.amin,
    "std": lambda x, axes, keepdim: torch.std(x, axes, correction=0, keepdim=keepdim),
    "variance": lambda x, axes, keepdim: torch.var(x, axes, correction=0, keepdim=keepdim),
}


@operator(*_FUNCTIONS)
def reduction(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Over some axes, or all."""
    x = arguments[0]
    return _FUNCTIONS[name_of(call)](x, _axes(call, x), keepdim=bool(call.attrs.keepdims))


@operator("prod")
def product(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """One axis after the other, the last one first, so that the others keep their places."""
    x = arguments[0]
    for axis in sorted(_axes(call, x), reverse=True):
        x = torch.prod(x, axis, keepdim=bool(call.attrs.keepdims))
    return x


@operator("argmax", "argmin")
def position(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Of one axis, or in the flattened tensor."""
    x, axis = arguments[0], call.attrs.axis
    found = getattr(torch, name_of(call))(x, None if axis is None else int(axis), keepdim=bool(call.attrs.keepdims))
    return found.to(getattr(torch, str(call.ty.dtype)))


@operator("cumsum", "cumprod")
def running(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Of what is in front, and itself or not."""
    x, axis = arguments[0], call.attrs.axis
    x, axis = (x.flatten(), 0) if axis is None else (x, int(axis))
    found = getattr(torch, name_of(call))(x, axis).to(getattr(torch, str(call.ty.dtype)))
    if not call.attrs.exclusive:
        return found
    start = torch.full_like(found.narrow(axis, 0, 1), 0 if name_of(call) == "cumsum" else 1)
    return torch.cat([start, found.narrow(axis, 0, found.shape[axis] - 1)], axis)


def _axes(call: relax.Call, x: torch.Tensor) -> list[int]:
    found = call.attrs.axis
    return list(range(x.ndim)) if found is None else [int(axis) % x.ndim for axis in found]
