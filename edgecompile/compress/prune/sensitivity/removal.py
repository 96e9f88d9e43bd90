"""`Removal`: which channels of each group go at a ratio, as a recipe with these ratios would take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.channels.tensor import Elements
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.selection import Selection
from edgecompile.compress.prune.selection.select import rank, removed_channels


class Removal:
    """The least important channels of each group, as many as the rounding allows.

    Args:
        groups: of the model.
        scores: by the name of a group.
        most, round_to: see `Selection`.
    """

    def __init__(self, groups: Groups, scores: Mapping[str, Scores], *, most: float, round_to: int) -> None:
        self._groups, self._scores, self._most, self._round_to = groups, scores, most, round_to

    def channels(self, ratios: Mapping[str, float]) -> dict[str, Elements]:
        """By the name of a group, the channels that go; groups that have no ratio, or lose nothing, are left out.

        Raises:
            InvalidRecipeError: a ratio is above what may go of a group.
        """
        how = Selection(method="uniform", ratio=0.0, ratios=ratios, most=self._most, round_to=self._round_to)
        ranking = rank(self._groups, self._scores, how)
        return removed_channels(self._groups, ranking, ranking.kept(0.0))

    def facts(self) -> Iterator[bytes]:
        """All that the choice depends on, apart from the ratios."""
        yield f"{self._most} {self._round_to}".encode()
        for name, found in self._scores.items():
            yield name.encode()
            yield np.argsort(found, kind="stable").tobytes()
