"""Normalizations, and what runs along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from tvm import relax

from edgecompile.train.operator import integers, operator, refused


@operator("nn.batch_norm")
def batch_norm(call: relax.Call, arguments: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """With fixed statistics, which are the other results."""
    x, scale, bias, mean, variance = arguments
    if call.attrs.training:
        raise refused(call, "in training mode")
    shape = _along(x, [int(call.attrs.axis)])
    factor = torch.rsqrt(variance + float(call.attrs.epsilon))
    y = (x - mean.reshape(shape)) * factor.reshape(shape)
    return _affine(call, y, scale.reshape(shape), bias.reshape(shape)), mean, variance


@operator("nn.layer_norm")
def layer_norm(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Over the axes of its scale and bias."""
    x, scale, bias = arguments
    axes = integers(call.attrs.axes)
    shape = _along(x, axes)
    return _affine(call, _standard(x, axes, call), scale.reshape(shape), bias.reshape(shape))


@operator("nn.instance_norm")
def instance_norm(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Each channel over its pixels."""
    x, scale, bias = arguments
    shape = _along(x, [int(call.attrs.channel_axis)])
    return _affine(call, _standard(x, integers(call.attrs.axes), call), scale.reshape(shape), bias.reshape(shape))


@operator("nn.group_norm")
def group_norm(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Some channels over their pixels."""
    x, scale, bias = arguments
    if int(call.attrs.channel_axis) != 1 or sorted(integers(call.attrs.axes)) != list(range(2, x.ndim)):
        raise refused(call, "over other axes than all behind the channels")
    y = F.group_norm(x, int(call.attrs.num_groups), eps=float(call.attrs.epsilon))
    shape = _along(x, [1])
    return _affine(call, y, scale.reshape(shape), bias.reshape(shape))


@operator("nn.rms_norm")
def rms_norm(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """By the root of the mean square."""
    x, scale = arguments
    axes = integers(call.attrs.axes)
    squares = x.square().mean(axes, keepdim=True)
    return x * torch.rsqrt(squares + float(call.attrs.epsilon)) * scale.reshape(_along(x, axes))


@operator("nn.softmax")
def softmax(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    return torch.softmax(arguments[0], int(call.attrs.axis))


@operator("nn.log_softmax")
def log_softmax(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    return torch.log_softmax(arguments[0], int(call.attrs.axis))


def _standard(x: torch.Tensor, axes: list[int], call: relax.Call) -> torch.Tensor:
    """Of mean 0 and variance 1 over some axes."""
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + float(call.attrs.epsilon))


def _affine(call: relax.Call, y: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    y = y * scale if call.attrs.scale else y
    return y + bias if call.attrs.center else y


def _along(x: torch.Tensor, axes: Sequence[int]) -> list[int]:
    """The shape in which numbers for some axes broadcast over a tensor."""
    places = {axis % x.ndim for axis in axes}
    return [extent if place in places else 1 for place, extent in enumerate(x.shape)]
