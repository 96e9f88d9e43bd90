"""A module with zeros where channels would go, which computes what the module without them does."""

from __future__ import annotations

import numpy as np
import tvm

from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.shorten import with_values
from edgecompile.compress.prune.channels.tensor import Tensor


def with_zeros(module: tvm.IRModule, groups: Groups, kept: Kept) -> tvm.IRModule:
    """The module whose constants are zero wherever one of their indices would go."""
    constants = {tensor for tensor in groups.program.constants.values() if not kept.is_whole(tensor)}
    return with_values(module, groups.program, {tensor: _zeroed(tensor, kept) for tensor in constants})


def _zeroed(tensor: Tensor, kept: Kept) -> np.ndarray:
    assert tensor.constant is not None
    array = tensor.constant.value.numpy().copy()
    for axis in range(tensor.rank):
        stays = np.zeros(array.shape[axis], bool)
        stays[kept.indices(tensor, axis)] = True
        array[(slice(None),) * axis + (~stays,)] = 0
    return array
