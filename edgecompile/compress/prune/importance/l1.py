"""The sum of magnitudes."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.evidence import Evidence
from edgecompile.compress.prune.importance.members import kernels_of, total


def l1(group: Group, evidence: Evidence) -> Scores | None:
    """Sum of |w| over the kernels that make, pass or read a channel.

    Source: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017; over groups as of `total`.
    """
    return total(evidence.slices(kernels_of(group)), np.abs)
