"""What a zero point and unsigned factors add to the sums of a convolution, border pixels apart.

Kernels add (x + offset) * w for the pixels within the image only, so that each sum is too large by

    (zero_point + offset) * sum of w over the taps within the image

Along either dimension the taps are all there but for a few positions at both ends: so few vectors of corrections, one
for each pair of kinds of lines and columns, serve all pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from edgecompile.convolution import Convolution

if TYPE_CHECKING:
    from schedules.cpu.loops import Expr

_Index = TypeVar("_Index", int, "Expr")


@dataclass(frozen=True)
class BorderKinds:
    """Positions along one dimension of the output, told apart by the taps that lie within the image.

    Attributes:
        extent: how many positions there are.
        before, after: how many at each end miss a tap; each is a kind of its own, all others are one.
    """

    extent: int
    before: int
    after: int

    @staticmethod
    def along(problem: Convolution, axis: int) -> BorderKinds:
        """Those of the height (0) or the width (1)."""
        extent = (problem.out_height, problem.out_width)[axis]
        source = (problem.height, problem.width)[axis]
        stride, pad = problem.strides[axis], problem.padding[axis]
        reach = (problem.kernel[axis] - 1) * problem.dilations[axis]
        before = min(math.ceil(pad / stride), extent)
        after = min(max(extent - 1 - (source - 1 + pad - reach) // stride, 0), extent)
        return BorderKinds(extent, before, after) if before + after < extent else BorderKinds(extent, extent - 1, 0)

    @property
    def count(self) -> int:
        """How many kinds there are."""
        return self.before + 1 + self.after

    def of(self, position: _Index) -> _Index:
        """The kind of a position, a number or an expression."""
        from tvm import tirx

        if isinstance(position, int):
            return min(position, self.before) + max(position - (self.extent - 1 - self.after), 0)
        if self.count == 1:
            return position * 0
        kind = tirx.min(position, self.before)
        return kind + tirx.max(position - (self.extent - 1 - self.after), 0) if self.after else kind

    def example(self, kind: int) -> int:
        """A position of a kind."""
        return kind if kind <= self.before else self.extent - self.count + kind


def taps_within(problem: Convolution, axis: int) -> np.ndarray:
    """`[kinds, taps]` bool: which taps of the kernel lie within the image along a dimension."""
    kinds = BorderKinds.along(problem, axis)
    positions = np.array([kinds.example(kind) for kind in range(kinds.count)])
    taps = np.arange(problem.kernel[axis]) * problem.dilations[axis]
    places = positions[:, None] * problem.strides[axis] + taps[None] - problem.padding[axis]
    return (places >= 0) & (places < (problem.height, problem.width)[axis])


def corrections(weight: np.ndarray, problem: Convolution, shift: int) -> np.ndarray:
    """What makes up for `shift` = zero point + offset: `[K, C, KH, KW]` -> `[line kinds, column kinds, K]` int32."""
    lines, columns = (taps_within(problem, axis).astype(np.int64) for axis in (0, 1))
    sums = np.einsum("kij,ai,bj->abk", weight.sum(axis=1, dtype=np.int64), lines, columns)
    return (-shift * sums).astype(np.int32)
