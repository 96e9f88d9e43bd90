"""`Group`: channels of several layers that go together, and `Groups`, all of a model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgecompile.compress.prune.channels.linker import LayerAxis
from edgecompile.compress.prune.channels.tensor import Elements

if TYPE_CHECKING:
    from edgecompile.compress.prune.channels.components import Components
    from edgecompile.compress.prune.channels.trace import Program


@dataclass(frozen=True)
class Member:
    """What a group has of one axis of a layer's weights.

    Attributes:
        axis: of the weight, with its layer.
        indices: [channels, n], the n indices of the axis at which each channel of the group is.
    """

    axis: LayerAxis
    indices: npt.NDArray[np.int64]

    @property
    def layer(self) -> str:
        """The name of what its layer computes."""
        return self.axis.layer

    @property
    def side(self) -> str:
        """ "output", "input", or "each"; see `LayerAxis`."""
        return self.axis.side


@dataclass(frozen=True)
class Coupling:
    """Why channels of different layers go together: an operator, and what it does to them."""

    layer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer} {self.reason}"


@dataclass(frozen=True)
class Group:
    """Channels of which any can go, each of them out of all members at once.

    Attributes:
        name: of the first layer that makes them; a number follows where several groups are of one layer.
        members: in order of execution.
        couplings: in order of execution; empty where one layer makes them and others read them.
        components: [channels], the numbers of the components that are the channels.
    """

    name: str
    members: tuple[Member, ...]
    couplings: tuple[Coupling, ...]
    components: Elements = field(repr=False)

    @property
    def channels(self) -> int:
        """How many there are."""
        return len(self.components)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.channels} channels"]
        lines += [f"  {line}" for line in _lines(self.members)]
        if self.couplings:
            lines.append(f"  together because {'; '.join(map(str, self.couplings))}")
        return "\n".join(lines)


@dataclass(frozen=True)
class FixedAxis:
    """An axis of a layer's weights of which nothing can go.

    Attributes:
        axis: of the weight, with its layer.
        channels: how many of its elements are fixed.
        reason: why.
    """

    axis: LayerAxis
    channels: int
    reason: str

    def __str__(self) -> str:
        return f"{self.axis.side}s of {self.axis.layer} ({self.axis.operator}): {self.channels} stay, {self.reason}"


@dataclass(frozen=True)
class Groups:
    """Which channels of a model go together, and which have to stay.

    Attributes:
        groups: in order of execution, each of two or more channels.
        fixed: outputs of layers that have to stay.
        program: what they were found in.
        components: by which a group knows its channels.
    """

    groups: tuple[Group, ...]
    fixed: tuple[FixedAxis, ...]
    program: Program = field(repr=False, compare=False)
    components: Components = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, name: str) -> Group:
        return next(group for group in self.groups if group.name == name)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.groups), *map(str, self.fixed)])


def _lines(members: Sequence[Member]) -> Iterator[str]:
    """One for each layer and side."""
    for (layer, operator, side), found in itertools.groupby(
        members, lambda member: (member.layer, member.axis.operator, member.side)
    ):
        same = list(found)
        operands = ", ".join(dict.fromkeys(member.axis.operand for member in same))
        each = same[0].indices.shape[1]
        many = f", {each} for each channel" if each > 1 else ""
        yield f"{'' if side == 'each' else f'{side}s of '}{layer} ({operator} {operands}{many})"
