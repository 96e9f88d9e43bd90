"""`SHARES`: how small a layer becomes, and which choice is of that size."""

from __future__ import annotations

from collections.abc import Sequence

from edgecompile.compress.lowrank.choices import Choice
from edgecompile.compress.lowrank.shape import LayerShape
from edgecompile.compress.sensitivity.level_file import LevelKind

SHARES = LevelKind(kind="lowrank", level="params", step="lowrank", levels="shares of parameters", layer="layer")
"""A level is the share of a layer's parameters that stays. Ranks do not compare methods, of which some have two, nor
layers: half of a square matrix' rank saves nothing.

Source: Z. Yuan et al., "ASVD: Activation-aware Singular Value Decomposition for Compressing Large Language Models",
2023, whose search of ranks by sensitivity has the same levels.
"""


def choice_within(choices: Sequence[Choice], shape: LayerShape, share: float) -> Choice | None:
    """The choice of the least error with at most this share of the layer's parameters; None where there is none."""
    small = [choice for choice in choices if choice.params <= share * shape.params]
    return min(small, key=lambda choice: (choice.error, choice.params), default=None)
