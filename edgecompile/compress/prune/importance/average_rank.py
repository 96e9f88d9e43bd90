"""How many independent rows the maps of a channel have."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.evidence import Evidence


def average_rank(group: Group, evidence: Evidence) -> Scores | None:
    """The mean over samples of rank(map) / min(rows, columns), 0 to 1.

    A map of one row or column has the rank 0 or 1: the criterion is one for images, and for heads.

    Source: Lin et al., HRank: Filter Pruning Using High-Rank Feature Map, CVPR 2020.
    """
    return evidence.activations(share_of_rank).get(group.name)


def share_of_rank(maps: np.ndarray) -> np.ndarray:
    """[n, channels] of maps [n, channels, rows, columns]; singular values are zero below float32's own error."""
    return np.linalg.matrix_rank(maps) / max(min(maps.shape[2:]), 1)
