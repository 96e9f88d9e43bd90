"""The sum of squares."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.evidence import Evidence


def l2(group: Group, evidence: Evidence) -> Scores | None:
    """Sum of w^2 over the kernels that read a channel; see `readers_of`.

    Source: Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023, section 3.3, who sum over all kernels.
    """
    return evidence.norm(group, lambda numbers: np.square(numbers, dtype=np.float64))
