"""`remove`: a module without some channels of its groups."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tvm

from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.shorten import shorten
from edgecompile.compress.prune.channels.tensor import Elements


def kept_without(groups: Groups, removed: Mapping[str, Elements]) -> Kept:
    """What stays of each axis.

    Args:
        removed: by the name of a group, the channels of it that go; at least one of each group stays.
    """
    goes = np.zeros(len(groups.components.pinned), bool)
    for name, channels in removed.items():
        group = groups[name]
        assert len(np.unique(channels)) < group.channels, f"{name}: one channel has to stay"
        goes[group.components[channels]] = True
    return Kept(~goes[groups.components.labels])


def remove(module: tvm.IRModule, groups: Groups, removed: Mapping[str, Elements]) -> tvm.IRModule:
    """The module without some channels.

    Args:
        groups: `find_groups` of the module.
        removed: as of `kept_without`.
    """
    return shorten(module, groups.program, kept_without(groups, removed))
