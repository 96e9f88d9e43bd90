"""`Request`: what the recipe asks for and calibration knows; `Reason`: what became of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Request:
    """By the names of variables.

    Attributes:
        ranges: tensors whose ranges are known.
        products: that shall read int8.
        dynamic: those of them whose scales are found at run time.
        integer: softmax and layer normalizations that shall compute in integers alone.
    """

    ranges: Collection[str]
    products: Collection[str]
    dynamic: Collection[str]
    integer: Collection[str]


class Reason(NamedTuple):
    """Whether an operator is int8, and why."""

    name: str
    kept: bool
    why: str
