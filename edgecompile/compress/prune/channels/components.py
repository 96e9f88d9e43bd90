"""`Components`: elements that links join, directly or through others."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edgecompile.compress.prune.channels.linker import Choice, Linker
from edgecompile.compress.prune.channels.tensor import Elements


class Components:
    """What goes together after all that a linker collected, its choices made.

    Attributes:
        labels: by element, the number of its component.
        pinned: by component, whether it has to stay.
    """

    def __init__(self, linker: Linker) -> None:
        none = np.zeros(0, np.int64)
        one = np.concatenate([none, *(link.one for link in linker.links)])
        other = np.concatenate([none, *(link.other for link in linker.links)])
        count, labels = _connected(linker.count, one, other)
        self.labels = labels
        self.pinned = np.zeros(count, bool)
        for pin in linker.pins:
            self.pinned[self.labels[pin.elements]] = True
        waiting = list(linker.choices)
        while waiting:
            position = next((place for place, choice in enumerate(waiting) if self._is_forced(choice)), 0)
            self._decide(waiting.pop(position), linker)

    def _is_forced(self, choice: Choice) -> bool:
        """True where at most one of the axes can lose anything: those are decided first, since others follow."""
        stays = self.pinned[self.labels[choice.merged]].all()
        return bool(stays) or sum(not self.pinned[self.labels[axis]].all() for axis in choice.axes) <= 1

    def _decide(self, choice: Choice, linker: Linker) -> None:
        """Link the merged axis with the one along which most can go, the first one where two or more can.

        A product of axes stays a product if whole slices go along one of them: the heads of an attention, whole images
        of a flattened tensor. The other axes have to stay.
        """
        counts = [self._movable(choice, position) for position in range(len(choice.axes))]
        several = [position for position, count in enumerate(counts) if count > 1]
        chosen = several[0] if several else int(np.argmax(counts))
        along = choice.along(chosen)
        linker.layer = choice.layer
        linker.link(choice.merged, along, "reshapes")
        self._join(choice.merged, along)
        for position, axis in enumerate(choice.axes):
            if position != chosen:
                linker.pin(axis, f"the reshape {choice.layer!r} takes it apart")
                self.pinned[self.labels[axis]] = True

    def _movable(self, choice: Choice, position: int) -> int:
        """How many components could go if elements went along one of the axes."""
        one, other = self.labels[choice.merged], self.labels[choice.along(position)]
        names, places = np.unique(np.concatenate([one, other]), return_inverse=True)
        count, joined = _connected(len(names), places[: len(one)], places[len(one) :])
        stays = np.zeros(count, bool)
        stays[joined[self.pinned[names]]] = True
        return int(count - stays.sum())

    def _join(self, one: Elements, other: Elements) -> None:
        count = len(self.pinned)
        count, joined = _connected(count, self.labels[one], self.labels[other])
        pinned = np.zeros(count, bool)
        pinned[joined[self.pinned]] = True
        self.labels, self.pinned = joined[self.labels], pinned


def _connected(count: int, one: Elements, other: Elements) -> tuple[int, Elements]:
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(count, count))
    found, labels = connected_components(graph, directed=False)
    return int(found), labels.astype(np.int64)
