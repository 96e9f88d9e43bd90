"""`Kept`: which elements stay."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edgecompile.compress.prune.channels.tensor import Elements, Tensor


class Kept:
    """What stays of each axis of a program's tensors.

    Args:
        stays: for each element.
    """

    def __init__(self, stays: npt.NDArray[np.bool_]) -> None:
        self._stays = stays

    def indices(self, tensor: Tensor, axis: int) -> Elements:
        """The indices of an axis that stay, in order."""
        return np.flatnonzero(self._stays[tensor.elements(axis)])

    def extent(self, tensor: Tensor, axis: int) -> int:
        """How many stay of an axis whose extent is known."""
        return int(self._stays[tensor.elements(axis)].sum())

    def counts(self, begin: Elements, end: Elements) -> Elements:
        """How many stay of each run of elements, from `begin` up to before `end`; all at once, for speed."""
        before = np.concatenate([[0], np.cumsum(self._stays)])
        return before[end] - before[begin]

    def shape(self, tensor: Tensor) -> tuple[int | None, ...]:
        """The extents that stay; None where the extent is known at run time only."""
        return tuple(None if extent is None else self.extent(tensor, axis) for axis, extent in enumerate(tensor.shape))

    def is_whole(self, tensor: Tensor) -> bool:
        """True where nothing of a tensor goes."""
        return self.shape(tensor) == tensor.shape

    def size(self, tensor: Tensor) -> int:
        """How many numbers stay of a tensor whose shape is known."""
        return math.prod(extent or 0 for extent in self.shape(tensor))
