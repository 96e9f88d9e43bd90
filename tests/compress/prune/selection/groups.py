"""Groups of one convolution each, without a module."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.prune.channels.group import Group, Member
from edgecompile.compress.prune.channels.linker import LayerAxis
from edgecompile.compress.prune.channels.tensor import Tensor


def group(name: str, channels: int, *, repeats: int = 1, operator: str = "nn.conv2d") -> Group:
    """A group of a layer that has `repeats` outputs for each channel."""
    tensor = Tensor(f"{name}.1", (channels * repeats, 3), (0, channels * repeats))
    indices = np.arange(channels * repeats).reshape(channels, repeats)
    axis = LayerAxis(name, operator, "weight", "output", tensor, 0)
    return Group(name, (Member(axis, indices),), (), np.arange(channels))
