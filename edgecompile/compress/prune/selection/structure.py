"""Which groups have the same structure."""

from __future__ import annotations

from collections.abc import Hashable

from edgecompile.compress.prune.channels.group import Group


def structure_of(group: Group) -> Hashable:
    """Equal for groups whose channels go through the same operators, whatever their numbers and extents.

    Source: Fang et al., "Isomorphic Pruning for Vision Models", ECCV 2024: scores of sub-networks are comparable where
    their graphs are isomorphic. Here a graph is told by its layers' weights in order of execution, and by what ties
    them together.
    """
    members = tuple((member.axis.operator, member.axis.operand, member.side) for member in group.members)
    return members, tuple(coupling.reason for coupling in group.couplings)
