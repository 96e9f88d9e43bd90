"""Constant blob layout."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from edgecompile.plan.execution_plan import ALIGNMENT_BYTES, ConstantBlob, Operand

if TYPE_CHECKING:
    import numpy as np


class ConstantBlobBuilder:
    """Appends constants one by one; equal bytes (tied weights) get the same place."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._places: dict[tuple[int, bytes], int] = {}

    def add(self, value: np.ndarray) -> Operand:
        """The operand of `value`, stored densely in row-major order."""
        raw = value.tobytes(order="C")
        key = (len(raw), hashlib.sha256(raw).digest())
        if key not in self._places:
            self._data.extend(bytes(-len(self._data) % ALIGNMENT_BYTES))
            self._places[key] = len(self._data)
            self._data.extend(raw)
        return Operand("constant", self._places[key], len(raw))

    def build(self) -> ConstantBlob:
        """The blob of all constants added so far."""
        return ConstantBlob(bytes(self._data))
