"""The control."""

from __future__ import annotations

import zlib

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.evidence import Evidence


def random(group: Group, evidence: Evidence) -> Scores | None:
    """Uniform numbers from 0 to 1, the same for a seed and the name of a group."""
    return np.random.default_rng([evidence.seed, zlib.crc32(group.name.encode())]).random(group.channels)
