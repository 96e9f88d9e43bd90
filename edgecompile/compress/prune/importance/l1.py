"""The sum of magnitudes."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.evidence import Evidence


def l1(group: Group, evidence: Evidence) -> Scores | None:
    """Sum of |w| over the kernels that read a channel; see `readers_of`.

    Source: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, who sum over the filter that makes it.
    """
    return evidence.norm(group, np.abs)
