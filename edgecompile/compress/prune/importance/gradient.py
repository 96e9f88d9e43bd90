"""How much the loss depends on the weights of a channel."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.evidence import Evidence
from edgecompile.compress.prune.importance.members import kernels_of, slices_of, total
from edgecompile.compress.prune.weights import Weights


def gradient(group: Group, evidence: Evidence) -> Scores | None:
    """Mean over samples of the sum of |dL/dw * w| over the kernels that make, pass or read a channel.

    The loss is `gradients.loss_of`.

    Source: Lee et al., SNIP: Single-Shot Network Pruning Based on Connection Sensitivity, ICLR 2019; over groups as of
    `total`.
    """
    return evidence.gradients(magnitude).get(group.name)


def magnitude(group: Group, products: Weights) -> Scores | None:
    """[channels], of one sample."""
    return total(slices_of(kernels_of(group), products), np.abs)
