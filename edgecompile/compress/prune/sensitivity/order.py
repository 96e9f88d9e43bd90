"""`Order`: which channels of each group go first, and so which go at a ratio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.channels.tensor import Elements

Scores: TypeAlias = Callable[[Groups], Mapping[str, npt.NDArray[np.float64]]]
"""By the name of a group, [channels]: more is more important."""


def l2_norms(groups: Groups) -> dict[str, npt.NDArray[np.float64]]:
    """sqrt(sum w^2) of each channel over the weights of all layers that make it or read it."""
    squares = np.zeros(len(groups.components.pinned))
    for tensor in dict.fromkeys(groups.program.constants.values()):
        if tensor.constant is None or tensor.rank < 2:
            continue
        array = np.square(tensor.constant.value.numpy().astype(np.float64))
        for axis in range(tensor.rank):
            if array.size > array.shape[axis]:  # else it is a bias, or a scale
                others = tuple(other for other in range(tensor.rank) if other != axis)
                np.add.at(squares, groups.components.labels[tensor.elements(axis)], array.sum(others))
    return {group.name: np.sqrt(squares[group.components]) for group in groups}


class Order:
    """The channels of each group, the least important first.

    Attributes:
        channels: by the name of a group.
    """

    def __init__(self, groups: Groups, scores: Scores) -> None:
        self.channels: dict[str, Elements] = {
            name: np.argsort(found, kind="stable") for name, found in scores(groups).items()
        }

    def removed(self, ratios: Mapping[str, float]) -> dict[str, Elements]:
        """The channels that go at a ratio from 0 to below 1 of each group, by its name; one of each stays."""
        found = {name: self.channels[name][: self._count(name, ratio)] for name, ratio in ratios.items()}
        return {name: channels for name, channels in found.items() if len(channels)}

    def _count(self, name: str, ratio: float) -> int:
        channels = len(self.channels[name])
        return min(round(ratio * channels), channels - 1)
