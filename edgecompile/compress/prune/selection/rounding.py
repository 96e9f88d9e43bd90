"""How many channels may stay of a group: counts that kernels like, not below what has to stay.

A kernel computes whole vectors: 61 channels cost as much as 64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgecompile.compress.prune.channels.group import Group
from edgecompile.target import Target

_FLOAT_BYTES = 4
_LEAST_STEPS = 4  # of channels in a group: a quarter of it can go


def vector_multiple(target: Target) -> int:
    """What `round_to=auto` is for a target: the float32 lanes of its vectors, which are also its blocked layouts'."""
    return target.cpu.vector_bytes // _FLOAT_BYTES


def step_of(group: Group, round_to: int) -> int:
    """Channels that go together so that the outputs of the group's layers are multiples of `round_to`.

    Where a layer has several outputs for a channel (the numbers of a head), fewer channels make a multiple. A group of
    less than four steps has a multiple of half as much, and so on, so that a quarter of any group can go.
    """
    outputs = [m for m in group.members if m.side == "output"] or group.members
    repeats = {member.indices.shape[1] for member in outputs}
    while round_to > 1:
        step = math.lcm(*(round_to // math.gcd(round_to, repeat) for repeat in repeats))
        if _LEAST_STEPS * step <= group.channels:
            return step
        round_to //= 2
    return 1


@dataclass(frozen=True)
class Allowed:
    """The numbers of channels that may stay of a group: all, or a multiple of a step.

    Attributes:
        channels: of the group.
        floor: that have to stay.
        step: see `step_of`.
    """

    channels: int
    floor: int
    step: int

    @staticmethod
    def of(group: Group, *, most: float, least: int, round_to: int) -> Allowed:
        """What may stay of a group.

        Args:
            most: of its channels that may go, in 0..1.
            least: channels that stay.
            round_to: see `step_of`.
        """
        gone = math.floor(most * group.channels + 1e-9)  # shares such as 0.9 are not exact
        floor = min(max(group.channels - gone, least, 1), group.channels)
        return Allowed(group.channels, floor, step_of(group, round_to))

    def nearest(self, count: int) -> int:
        """The allowed number that is nearest to another one, the smaller of two."""
        below = max(count // self.step * self.step, -(-self.floor // self.step) * self.step)
        above = min(-(-count // self.step) * self.step, self.channels)
        below = min(below, self.channels)
        return below if count - below <= above - count else above
