"""`find_groups`: a module to the channels of it that can go."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tvm

from edgecompile.compress.prune.channels.components import Components
from edgecompile.compress.prune.channels.group import Coupling, FixedAxis, Group, Groups, Member
from edgecompile.compress.prune.channels.tensor import Elements, Tensor
from edgecompile.compress.prune.channels.trace import Program, trace

_ALONE = "its channels can only go all at once"


def find_groups(module: tvm.IRModule) -> Groups:
    """The groups of a module: components that are in the same axes, equally often in each.

    Raises:
        UnsupportedModelError: the model has control flow.
    """
    program = trace(module)
    components = Components(program.linker)
    search = _Search(program, components)
    groups = search.groups()
    return Groups(
        tuple(groups), tuple(search.fixed({int(c) for g in groups for c in g.components})), program, components
    )


class _Search:
    def __init__(self, program: Program, components: Components) -> None:
        self._program, self._labels, self._pinned = program, components.labels, components.pinned

    def groups(self) -> list[Group]:
        found: dict[bytes, list[int]] = defaultdict(list)
        for label, signature in self._signatures():
            found[signature].append(label)
        several = [np.array(labels) for labels in found.values() if len(labels) > 1]
        members_of = self._members(several)
        couplings = self._couplings([int(labels[0]) for labels in several])
        groups, names = [], Counter[str]()
        for labels, members in zip(several, members_of, strict=True):
            if not members:
                continue
            name = next((member.layer for member in members if member.side == "output"), members[0].layer)
            names[name] += 1
            full = f"{name}:{names[name]}" if names[name] > 1 else name
            groups.append(Group(full, tuple(members), couplings[int(labels[0])], labels))
        return groups

    def fixed(self, free: Iterable[int]) -> Iterator[FixedAxis]:
        """The outputs of layers that are in no group."""
        pins = self._program.linker.pins
        pin_of = np.full(len(self._pinned), len(pins))
        for number, pin in reversed(list(enumerate(pins))):
            pin_of[self._labels[pin.elements]] = number
        is_free = np.zeros(len(self._pinned), bool)
        is_free[list(free)] = True
        for axis in self._program.linker.layer_axes:
            if axis.side != "output":
                continue
            labels = self._labels[axis.tensor.elements(axis.axis)]
            stays = labels[~is_free[labels]]
            if len(stays):
                number = int(pin_of[stays[0]])
                yield FixedAxis(axis, len(stays), pins[number].reason if number < len(pins) else _ALONE)

    def _couplings(self, labels: Sequence[int]) -> dict[int, tuple[Coupling, ...]]:
        """Why components are what they are, by operators in order of execution."""
        place_of = np.full(len(self._pinned), -1)
        place_of[labels] = np.arange(len(labels))
        found: list[dict[Coupling, None]] = [{} for _ in labels]
        reasons = [(link.one, Coupling(link.layer, link.reason)) for link in self._program.linker.links if link.reason]
        for elements, coupling in [*reasons, *self._ties()]:
            for place in np.unique(place_of[self._labels[elements]]).tolist():
                if place >= 0:
                    found[place][coupling] = None
        return {label: tuple(couplings) for label, couplings in zip(labels, found, strict=True)}

    def _ties(self) -> Iterator[tuple[Elements, Coupling]]:
        """The axes of weights that several operators read, which makes one tensor of them."""
        first_readers: dict[int, str] = {}
        for (variable, _), tensor in self._program.constants.items():
            first = first_readers.setdefault(id(tensor), variable.name)
            if first != variable.name:
                for axis in range(tensor.rank):
                    yield tensor.elements(axis), Coupling(variable.name, f"reads the weight of {first}")

    def _signatures(self) -> Iterator[tuple[int, bytes]]:
        """The components that can go, by their first element, with the axes that they are in and how often."""
        movable = np.flatnonzero(~self._pinned[self._labels])
        first_of_axes = np.unique(np.concatenate([np.array(tensor.first) for tensor in self._tensors()]))
        axes = np.searchsorted(first_of_axes, movable, side="right")
        pairs, counts = np.unique(self._labels[movable] * (len(first_of_axes) + 1) + axes, return_counts=True)
        labels, axes = np.divmod(pairs, len(first_of_axes) + 1)
        rows = np.stack([axes, counts], axis=1)
        names, starts = np.unique(labels, return_index=True)
        ends = [*starts, len(rows)][1:]
        signatures = {name: rows[i:j].tobytes() for name, i, j in zip(names.tolist(), starts, ends, strict=True)}
        for label in dict.fromkeys(self._labels[movable].tolist()):
            yield label, signatures[label]

    def _tensors(self) -> Iterator[Tensor]:
        for tensors in self._program.variables.values():
            yield from (tensor for tensor in tensors if tensor.rank)
        yield from (tensor for tensor in self._program.constants.values() if tensor.rank)

    def _members(self, groups: Sequence[Elements]) -> list[list[Member]]:
        """By group, given as the components that are its channels, what it has of the axes of layers."""
        group_of = np.full(len(self._pinned), -1)
        channel_of = np.full(len(self._pinned), -1)
        for number, components in enumerate(groups):
            group_of[components] = number
            channel_of[components] = np.arange(len(components))
        members: list[list[Member]] = [[] for _ in groups]
        for axis in self._program.linker.layer_axes:
            labels = self._labels[axis.tensor.elements(axis.axis)]
            found = group_of[labels]
            for number in np.unique(found[found >= 0]).tolist():
                places = np.flatnonzero(found == number)
                order = np.argsort(channel_of[labels[places]], kind="stable")
                members[number].append(Member(axis, places[order].reshape(len(groups[number]), -1)))
        return members
