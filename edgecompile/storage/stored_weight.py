"""`StoredWeight`: a weight as it is stored, and what it stands for."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.storage.bit_stream import stream_bytes
from edgecompile.storage.runs import longest_runs, spread

if TYPE_CHECKING:
    Movement = Callable[[np.ndarray], np.ndarray]
    """Puts each element of an array of any dtype in one place or in several, and zeros elsewhere."""


class StoredWeight(ABC):
    """A weight in fewer bits."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the weight."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Of all that is stored."""

    @property
    def float_bytes(self) -> int:
        """Of the decoded weight."""
        return math.prod(self.shape) * 4

    @abstractmethod
    def decode(self) -> np.ndarray:
        """float32 of `shape`; every decoder answers these bits."""

    @abstractmethod
    def moved(self, movement: Movement) -> StoredWeight:
        """What decodes to `movement(decode())`, still stored."""


@dataclass(frozen=True)
class HalfWeight(StoredWeight):
    """float16 or bfloat16, each widened exactly.

    Attributes:
        values: of either dtype, finite.
    """

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def decode(self) -> np.ndarray:
        return self.values.astype(np.float32)

    def __str__(self) -> str:
        return str(self.values.dtype)

    def moved(self, movement: Movement) -> HalfWeight:
        return HalfWeight(movement(self.values.view(np.uint16)).view(self.values.dtype))


@dataclass(frozen=True)
class CodedWeight(StoredWeight):
    """Codes of a few bits.

        uniform:  weight = scale * float32(code - zero_point)      the difference is exact, then one rounding
        table:    weight = scale * table[code]                     one rounding

    Attributes:
        codes: uint8, below 2^bits, of the weight's shape. A signed code of other tools is `code - 2^(bits - 1)`.
        bits: 2 to 8.
        scale: float32, of which runs of elements share one each; see `runs`.
        zero_point: uint8, shared likewise; None where there is a table.
        table: float32 `[2^bits]`; None where codes are uniform.
    """

    codes: np.ndarray
    bits: int
    scale: np.ndarray
    zero_point: np.ndarray | None = None
    table: np.ndarray | None = None

    def __post_init__(self) -> None:
        assert (self.zero_point is None) != (self.table is None), "codes are uniform, or have a table"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        other = self.zero_point if self.table is None else self.table
        assert other is not None
        return stream_bytes(self.codes.size, self.bits) + self.scale.nbytes + other.nbytes

    def __str__(self) -> str:
        kind = "" if self.table is None else " from a table"
        return f"codes of {self.bits} bits{kind}, {self.scale.size} scale{'' if self.scale.size == 1 else 's'}"

    def decode(self) -> np.ndarray:
        if self.table is not None:
            values = self.table[self.codes]
        else:
            assert self.zero_point is not None
            values = (self.codes.astype(np.int32) - spread(self.zero_point, self.shape)).astype(np.float32)
        product: np.ndarray = spread(self.scale, self.shape) * values
        return product

    def moved(self, movement: Movement) -> CodedWeight:
        # Places count from 1: what a movement adds is zero.
        places = movement(np.arange(1, self.codes.size + 1, dtype=np.int64).reshape(self.shape))
        filled = places == 0
        sources = np.where(filled, 0, places - 1)
        numbers = np.arange(self.scale.size).reshape(self.scale.shape)
        index = spread(numbers, self.shape).reshape(-1)[sources]
        zero_code = self._zero_code()
        # Where no code stands for zero, a scale of its own does.
        index[filled] = self.scale.size if zero_code is None else -1
        blocks = longest_runs(index)
        scale = np.append(self.scale.reshape(-1), np.float32(0))[blocks]
        codes = self.codes.reshape(-1)[sources]
        zero_point = self.zero_point
        if zero_point is not None:
            is_shared = zero_point.size == 1
            zeros = zero_point.reshape(-1)
            zero_point = zeros[:1].reshape([1] * codes.ndim) if is_shared else np.append(zeros, np.uint8(0))[blocks]
            codes[filled] = spread(zero_point, codes.shape)[filled]
        else:
            codes[filled] = zero_code or 0
        return CodedWeight(codes, self.bits, scale, zero_point, self.table)

    def _zero_code(self) -> int | None:
        """A code for zero, whatever the scale; of uniform codes it is the zero point."""
        if self.table is None:
            return 0
        found = np.flatnonzero(self.table == 0)
        return int(found[0]) if found.size else None


@dataclass(frozen=True)
class SparseWeight(StoredWeight):
    """One bit for each weight, and those that are not zero.

    A bitmask takes a bit whatever the pattern, so that it serves any; where 2 of every 4 weights stay, numbers of two
    bits that say which would take as many.

    Attributes:
        mask: bool, of the weight's shape, True at one element at least.
        values: float32 or int8 `[n]`, where the mask is True, in row-major order.
    """

    mask: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, weight: np.ndarray) -> SparseWeight:
        """Without the zeros of a weight, float32 or int8 of at least one element; a negative zero is a value."""
        bits = weight.view(np.uint32) if weight.dtype == np.float32 else weight
        mask = bits != 0
        if not mask.any():
            mask.reshape(-1)[0] = True  # no program holds an array of nothing
        return cls(mask, weight[mask])

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mask.shape

    @property
    def nbytes(self) -> int:
        return stream_bytes(self.mask.size, 1) + self.values.nbytes

    @property
    def float_bytes(self) -> int:
        return self.mask.size * self.values.itemsize

    def __str__(self) -> str:
        return f"a bitmask, {self.values.size:,} of {self.mask.size:,} weights in {self.values.dtype}"

    def decode(self) -> np.ndarray:
        """Of the dtype of the values."""
        weight = np.zeros(self.shape, self.values.dtype)
        weight[self.mask] = self.values
        return weight

    def moved(self, movement: Movement) -> SparseWeight:
        mask, weight = movement(self.mask), movement(self.decode())
        return SparseWeight(mask, weight[mask])
