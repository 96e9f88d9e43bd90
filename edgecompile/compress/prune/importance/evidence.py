"""`Evidence`: what is known of a model whose channels are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.compress.prune.channels.group import Group, Groups, Member
from edgecompile.compress.prune.importance import activations
from edgecompile.compress.prune.importance.activations import MapStatistic
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.members import is_dead, readers_of, slices_of, total
from edgecompile.compress.prune.weights import Weights
from edgecompile.compress.samples.replay import Replay
from edgecompile.decision import Decision
from edgecompile.errors import InvalidInputError
from edgecompile.frontend.model import Model

if TYPE_CHECKING:
    from edgecompile.compress.prune.importance.gradients import ProductStatistic


class Evidence:
    """The weights of a model, and what they compute on samples, once it is asked for.

    Args:
        model: as it was imported.
        groups: `find_groups` of its module.
        samples: to run it on; None where there are none.
        seed: of what is random.
        progress: called with the name of each phase as it begins.

    Attributes:
        model, groups, seed, progress: as given.
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
        self.progress = progress or (lambda phase: None)
        self._samples = samples
        self._weights = Weights(groups.program)
        self._found: dict[Callable[..., object], dict[str, Scores]] = {}

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

    def norm(self, group: Group, number: Callable[[np.ndarray], np.ndarray]) -> Scores | None:
        """The sum of a number of each weight of the kernels that read a channel; None where none of them is known."""
        found = total(self.slices(readers_of(group)), number)
        return None if found is None else self.alive(group, found)

    def alive(self, group: Group, scores: Scores) -> Scores:
        """The scores, but 0 of channels that are dead."""
        return np.where(is_dead(group, self._weights), 0.0, scores)

    def activations(self, statistic: MapStatistic) -> dict[str, Scores]:
        """By group, the mean of a statistic over all samples, where its channels can be seen; see `activations`.

        Raises:
            As for `activations.mean_over_samples`.
        """
        if statistic not in self._found:
            assert self._samples is not None
            self._found[statistic] = activations.mean_over_samples(
                self.model, self.groups, self._samples, statistic, self.progress
            )
        return self._found[statistic]

    def gradients(self, statistic: ProductStatistic) -> dict[str, Scores]:
        """By group, the mean of a statistic of dL/dw * w over all samples; see `gradients`.

        Raises:
            As for `gradients.mean_over_samples`.
        """
        if statistic not in self._found:
            assert self._samples is not None
            # Here, since PyTorch takes seconds to import.
            from edgecompile.compress.prune.importance.gradients import mean_over_samples

            self._found[statistic] = mean_over_samples(self.model, self.groups, self._samples, statistic, self.progress)
        return self._found[statistic]
