"""How often a channel is not zero."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.evidence import Evidence


def apoz(group: Group, evidence: Evidence) -> Scores | None:
    """1 - APoZ, the average percentage of zeros: the share of the channel's numbers that are not zero, 0 to 1.

    It tells channels apart behind a ReLU only; without one hardly a number is zero.

    Source: Hu et al., Network Trimming, 2016.
    """
    return evidence.activations(share_of_numbers).get(group.name)


def share_of_numbers(maps: np.ndarray) -> np.ndarray:
    """[n, channels] of maps [n, channels, rows, columns]."""
    return np.count_nonzero(maps, axis=(2, 3)) / max(maps.shape[2] * maps.shape[3], 1)
