"""`Ranking`: the order in which channels go."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.channels.tensor import Elements
from edgecompile.compress.prune.costs import Counts
from edgecompile.compress.prune.selection.rounding import Allowed
from edgecompile.compress.prune.selection.selection import Method
from edgecompile.compress.prune.selection.structure import structure_of
from edgecompile.errors import InvalidModelError

Scores = npt.NDArray[np.float64]
"""[channels], more is more important."""


class _Class(NamedTuple):
    """Groups whose channels are compared with each other.

    Attributes:
        channels: how many they have.
        order: of those that can go, the group of each, the least important one first.
    """

    channels: int
    order: Elements


class Ranking:
    """The channels of groups, the least important first, and how many of each group a share of them is.

    Scores are relative to the mean of their group: what counts is how much less than the others of its layer a channel
    does. Of equal ones, those go first of whose group less went, so that equal scores make equal ratios.

    Args:
        groups: all of a model.
        scores: by name; a group without any stays whole.
        allowed: of each group.
        method: see `Selection`.
        ratios: of some groups, which lose that much and not what they would by the ranking.

    Raises:
        InvalidModelError: a score is not finite.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        scores: Mapping[str, Scores],
        allowed: Sequence[Allowed],
        method: Method,
        ratios: Mapping[str, float],
    ) -> None:
        self._allowed = allowed
        self._channels: Counts = np.array([group.channels for group in groups], np.int64)
        self._fixed = np.zeros(len(groups), np.int64)
        self._relative = [_relative(group, scores.get(group.name)) for group in groups]
        self._orders = [np.argsort(found, kind="stable") for found in self._relative]
        classes: dict[Hashable, list[int]] = defaultdict(list)
        for index, group in enumerate(groups):
            if group.name in ratios:
                self._fixed[index] = _rounded(ratios[group.name] * group.channels)
            elif group.name in scores:
                key = {"uniform": group.name, "global": "", "isomorphic": structure_of(group)}[method]
                classes[key].append(index)
        self._classes = [self._class(members) for members in classes.values()]

    def kept(self, share: float) -> Counts:
        """The channels that stay of each group where a share of the channels of each class would go.

        Falls, or stays the same, as the share grows.
        """
        gone = self._fixed.copy()
        for found in self._classes:
            gone += np.bincount(found.order[: _rounded(share * found.channels)], minlength=len(gone))
        kept = (self._channels - gone).tolist()
        return np.array([one.nearest(count) for one, count in zip(self._allowed, kept, strict=True)], np.int64)

    def loss(self, group: int, before: int, after: int) -> float:
        """The relative scores of the channels that go where fewer stay of a group."""
        order, channels = self._orders[group], self._channels[group]
        return float(self._relative[group][order[channels - before : channels - after]].sum())

    def removed(self, kept: Counts) -> list[Elements]:
        """By group, the channels that go so that so many stay."""
        gone = (self._channels - kept).tolist()
        return [np.sort(order[:count]) for order, count in zip(self._orders, gone, strict=True)]

    def _class(self, members: Sequence[int]) -> _Class:
        groups, places, scores = [], [], []
        for index in members:
            count = self._allowed[index].channels - self._allowed[index].floor
            groups.append(np.full(count, index))
            places.append((np.arange(count) + 1) / self._channels[index])
            scores.append(self._relative[index][self._orders[index]][:count])
        order = np.lexsort((np.concatenate(places), np.concatenate(scores)))
        return _Class(int(self._channels[members].sum()), np.concatenate(groups)[order])


def _relative(group: Group, scores: Scores | None) -> Scores:
    if scores is None:
        return np.ones(group.channels)
    assert scores.shape == (group.channels,), f"{group.name}: {group.channels} scores, found {scores.shape}"
    if not np.isfinite(scores).all():
        raise InvalidModelError(f"channels of {group.name!r} have scores that are not finite; look at its weights")
    mean = float(np.abs(scores).mean())
    return np.asarray(scores / mean if mean > 0 else scores, np.float64)


def _rounded(count: float) -> int:
    """The nearest number, the larger of two: half of a channel of two goes as one."""
    return math.floor(count + 0.5 + 1e-9)  # shares of counts are not exact
