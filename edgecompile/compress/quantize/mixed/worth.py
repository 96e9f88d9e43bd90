"""What counts as faster or smaller: with less to gain, noise decides, and float is the safer choice."""

from __future__ import annotations

FASTER = 0.98  # of the time
SMALLER = 0.98  # of the whole model's size
LAYER_SMALLER = 0.01  # of the model's weights: what a layer must save to stay int8 although that is not faster


def is_faster(time: float, before: float = 1.0) -> bool:
    """True where a time is so much less than another that noise does not explain it."""
    return time < FASTER * before


def is_smaller(size: int, before: int) -> bool:
    """True where a model's size is worth the change."""
    return size <= SMALLER * before


def saves_much(saved: int, whole: int) -> bool:
    """True where the bytes that a layer saves are worth int8 by themselves; `whole`: of the model's constants."""
    return saved >= LAYER_SMALLER * whole
