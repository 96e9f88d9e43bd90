"""Tensors that are another way to look at a tensor's memory: what permutations, reshapes and slices make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StridedView:
    """Element `[i, j, ...]` lies at `offset + i * strides[0] + j * strides[1] + ...` of the memory, in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @staticmethod
    def contiguous(shape: Sequence[int]) -> StridedView:
        """The memory of a tensor of `shape`, as it lies."""
        return StridedView(tuple(shape), tuple(math.prod(shape[at + 1 :]) for at in range(len(shape))))

    def permuted(self, axes: Sequence[int]) -> StridedView:
        """Dimension i of the result is dimension `axes[i]`."""
        return StridedView(tuple(self.shape[a] for a in axes), tuple(self.strides[a] for a in axes), self.offset)

    def sliced(self, axis: int, start: int, extent: int) -> StridedView:
        """`extent` neighbours along `axis`, from `start` on."""
        shape = (*self.shape[:axis], extent, *self.shape[axis + 1 :])
        return StridedView(shape, self.strides, self.offset + start * self.strides[axis])

    def reshaped(self, shape: Sequence[int]) -> StridedView | None:
        """The same elements in the same order; None where no strides give that order.

        Both shapes are cut into the smallest groups of dimensions with equal numbers of elements; the dimensions of a
        group must lie in memory like one dimension.
        """
        old = [(extent, stride) for extent, stride in zip(self.shape, self.strides, strict=True) if extent != 1]
        strides: list[int] = []
        new, at = list(shape), 0
        while at < len(new):
            if new[at] == 1:
                strides.append(0)
                at += 1
                continue
            end, wanted, group = at + 1, new[at], old[:1]
            found = group[0][0]
            while found != wanted:
                if found < wanted:
                    group = old[: len(group) + 1]
                    found *= group[-1][0]
                else:
                    wanted *= new[end]
                    end += 1
            if any(left[1] != right[0] * right[1] for left, right in itertools.pairwise(group)):
                return None
            strides += [math.prod(new[place + 1 : end]) * group[-1][1] for place in range(at, end)]
            old, at = old[len(group) :], end
        return StridedView(tuple(shape), tuple(strides), self.offset)

    def broadcast(self, shape: Sequence[int]) -> StridedView:
        """Repeated along leading dimensions that are missing and along those of extent one."""
        missing = len(shape) - len(self.shape)
        own = zip(self.shape, self.strides, strict=True)
        strides = (*[0] * missing, *(0 if extent == 1 else stride for extent, stride in own))
        return StridedView(tuple(shape), strides, self.offset)
