"""`Evidence`: what is known of a model whose channels are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from edgecompile.compress.prune.channels.group import Groups, Member
from edgecompile.compress.prune.importance.members import slices_of
from edgecompile.compress.prune.weights import Weights
from edgecompile.compress.quantize.replay import Replay
from edgecompile.decision import Decision
from edgecompile.errors import InvalidInputError
from edgecompile.frontend.model import Model


class Evidence:
    """The weights of a model, and what they compute on samples, once it is asked for.

    Args:
        model: as it was imported.
        groups: `find_groups` of its module.
        samples: to run it on; None where there are none.
        seed: of what is random.
        progress: called with the name of each phase as it begins.

    Attributes:
        decisions: what could not be scored as asked for, and why.
    """

    def __init__(
        self,
        model: Model,
        groups: Groups,
        samples: Replay | None = None,
        *,
        seed: int = 0,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.model, self.groups, self.seed = model, groups, seed
        self.decisions: list[Decision] = []
        self._samples, self._progress = samples, progress or (lambda phase: None)
        self._weights = Weights(groups.program)

    def check(self, criterion: str, needs: str) -> None:
        """See that there are data where they are needed.

        Raises:
            InvalidInputError: there are none.
        """
        if needs != "weights" and self._samples is None:
            raise InvalidInputError(f"importance {criterion} needs calibration data, found none: give data=")

    def slices(self, members: Iterable[Member]) -> Iterator[np.ndarray]:
        """[channels, n]: the numbers that each channel has of each weight; those that are computed are left out."""
        return slices_of(members, self._weights)
