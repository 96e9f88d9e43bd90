"""Which weights of a group count, and how those of a channel become one number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from edgecompile.compress.prune.channels.group import Group, Member
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.weights import Weights

KERNELS = ("weight", "table")
"""The operands that are kernels, matrices or embeddings; others are biases and the numbers of a normalization."""


def kernels_of(group: Group, *sides: str) -> list[Member]:
    """The kernels and matrices of convolutions and products in a group.

    Args:
        sides: of the channels: "output", "input", "each" for a depthwise convolution; all unless given.
    """
    return [
        member for member in group.members if member.axis.operand in KERNELS and (not sides or member.side in sides)
    ]


def slices_of(members: Iterable[Member], weights: Weights) -> Iterator[np.ndarray]:
    """[channels, n] of each member whose numbers are known."""
    for member in members:
        found = weights.slices(member)
        if found is not None:
            yield found


def total(slices: Iterable[np.ndarray], number: Callable[[np.ndarray], np.ndarray]) -> Scores | None:
    """The sum of a number over all that each channel has; None of nothing.

    All layers count that a channel takes part in, with each of their weights once: they go together.

    Args:
        number: of each element.

    Source: Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023, section 3.3.
    """
    sums = [number(found).sum(1, dtype=np.float64) for found in slices]
    return np.sum(sums, axis=0) if sums else None
