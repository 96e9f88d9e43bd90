"""The integer operators as formulas of TIR: what they compute where no template takes them.

Every formula is exact in int32, whatever the layout: a `Channel` finds the channel in an element's indices.
"""

from __future__ import annotations

from edgecompile.integer.formulas.elementwise import (
    NOTE,
    add,
    channel_of_axis,
    channel_of_blocks,
    lookup,
    multiply_elements,
    requantize,
)
from edgecompile.integer.formulas.products import convolve, multiply, ordered, places_of
from edgecompile.integer.formulas.resample import resample

__all__ = [
    "NOTE",
    "add",
    "channel_of_axis",
    "channel_of_blocks",
    "convolve",
    "lookup",
    "multiply",
    "multiply_elements",
    "ordered",
    "places_of",
    "requantize",
    "resample",
]
