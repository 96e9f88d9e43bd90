"""Attention as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tvm import relax

from edgecompile.train.operator import operator, refused


@operator("nn.attention", "nn.attention_bias")
def attention(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """y[b, s, h] = softmax(q[b, s, h] k[b, :, h]^T * scale + bias) v[b, :, h]."""
    attributes = call.attrs
    if attributes.causal_mask is not None or attributes.window_size is not None:
        raise refused(call, "with a causal mask or a window")
    q, k, v = (tensor.transpose(1, 2) for tensor in arguments[:3])
    scale = q.shape[-1] ** -0.5 if attributes.scale is None else float(attributes.scale)
    logits = q @ k.transpose(-1, -2) * scale
    if len(arguments) > 3:
        logits = logits + arguments[3]
    return (torch.softmax(logits, -1) @ v).transpose(1, 2)
