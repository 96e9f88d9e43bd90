"""`Value`: what the generator knows about one tensor of the graph that it builds, and how rounding errors add up."""

from __future__ import annotations

import math
from dataclasses import dataclass

FLOATS = ("float16", "float32", "float64")
SIGNED = ("int8", "int32", "int64")
INTEGERS = ("uint8", *SIGNED)
EPSILON = {"float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}
# Beyond this share of a tensor's magnitude an error would hide real defects, so such a tensor is not computed with.
MOST_RELATIVE_ERROR = {"float16": 0.02, "float32": 5e-4, "float64": 5e-10}
MOST_MAGNITUDE = {"float16": 200.0, "float32": 2000.0, "float64": 2000.0}


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: its type, an interval that holds every element, and how far two programs may differ on it.

    Attributes:
        low, high: every element lies between them.
        error: the largest difference that rounding alone can make between two right implementations. Zero means that
            both have the same bits, so that operators with jumps (floor, comparison, argmax) may use it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    error: float = 0.0

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def magnitude(self) -> float:
        return max(abs(self.low), abs(self.high))

    @property
    def is_exact(self) -> bool:
        return self.error == 0.0

    @property
    def is_usable(self) -> bool:
        """True when more operators may follow: far from overflow, and precise enough that a defect would show."""
        if self.dtype == "bool":
            return True
        if self.dtype in INTEGERS:
            return self.magnitude <= 2**24
        allowed = MOST_RELATIVE_ERROR[self.dtype] * self.magnitude
        return self.magnitude <= MOST_MAGNITUDE[self.dtype] and self.error <= allowed


def rounding(dtype: str, magnitude: float, terms: int = 1) -> float:
    """The error of a sum of `terms` products that is at most `magnitude`; 0 for integers.

    A sum of n terms in any order is off by at most n epsilon; since signs are random, sqrt(n) with a margin of 4 is
    what is seen. One epsilon is added for the operation itself.
    """
    return EPSILON[dtype] * magnitude * (1.0 + 4.0 * math.sqrt(terms)) if dtype in FLOATS else 0.0
