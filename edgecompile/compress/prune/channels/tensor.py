"""`Tensor`: what has axes that pruning can shorten, with a number for each element of each axis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import tvm

Elements = npt.NDArray[np.int64]
"""Numbers of elements of axes, one-dimensional."""


@dataclass(frozen=True)
class Tensor:
    """A variable of `main`, a field of one that is a tuple, or a constant.

    An element is one index of one axis: channel 3 of a tensor [N, C, H, W] is an element, whatever N, H and W are.

    Attributes:
        name: of the variable; of its reader and the operand's place for a constant.
        shape: one extent per axis; None where it is known at run time only, and the axis has no elements.
        first: by axis, the number of its first element; the others follow.
        constant: the constant that it is; None for a variable.
        is_fixed: it is a constant, or computed from constants alone.
    """

    name: str
    shape: tuple[int | None, ...]
    first: tuple[int, ...]
    constant: tvm.ir.GenericConst | None = field(default=None, compare=False, repr=False)
    is_fixed: bool = False

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def elements(self, axis: int) -> Elements:
        """The elements of an axis, in order; of the last one for -1."""
        axis %= self.rank
        return np.arange(self.first[axis], self.first[axis] + (self.shape[axis] or 0), dtype=np.int64)
