"""Groups of a convolution as whole blocks of channels: neighbouring groups become one, with zeros between them.

    group 0, group 1     ->     [ w0  0  ]
                                [ 0   w1 ]

The zeros are multiplied too. Even so vectors of products are far ahead of loops over the few channels of a group.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from edgecompile.convolution import Convolution


def merge_groups(problem: Convolution, in_block: int, out_block: int) -> Convolution:
    """The convolution with as many groups as divide both sides into whole blocks; with one where none do.

    Args:
        in_block, out_block: channels side by side in x and in the result.
    """

    def fits(groups: int) -> bool:
        whole_blocks = (
            problem.in_channels % (groups * in_block) == 0 and problem.out_channels % (groups * out_block) == 0
        )
        return problem.groups % groups == 0 and whole_blocks

    return dataclasses.replace(problem, groups=next((n for n in range(problem.groups, 1, -1) if fits(n)), 1))


def merge_weight(weight: np.ndarray, merged: Convolution) -> np.ndarray:
    """`[K, channels of a group, KH, KW]` -> `[K, merged.group_channels, KH, KW]` of the same type."""
    out_channels, few = weight.shape[:2]
    if few == merged.group_channels:
        return weight
    groups = merged.in_channels // few
    wide = np.zeros((groups, out_channels // groups, merged.group_channels, *weight.shape[2:]), weight.dtype)
    each = weight.reshape(groups, out_channels // groups, *weight.shape[1:])
    for group in range(groups):
        first = group * few % merged.group_channels
        wide[group, :, first : first + few] = each[group]
    return wide.reshape(out_channels, *wide.shape[2:])
