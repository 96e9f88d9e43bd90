"""What the loss would change without a channel, to first order."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.evidence import Evidence
from edgecompile.compress.prune.importance.members import readers_of, slices_of, total
from edgecompile.compress.prune.weights import Weights


def taylor(group: Group, evidence: Evidence) -> Scores | None:
    """Mean over samples of (sum of dL/dw * w)^2, over the kernels that read the channel; see `readers_of`.

    That sum is dL/da * a for all numbers a of its maps: the gate behind a layer and its batch norm, which the source
    found best. It is the same whether batch norms are folded or not. The loss is `gradients.loss_of`.

    Source: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, equation 8.
    """
    return evidence.gradients(squared_change).get(group.name)


def squared_change(group: Group, products: Weights) -> Scores | None:
    """[channels], of one sample."""
    change = total(slices_of(readers_of(group), products), np.asarray)
    return None if change is None else np.square(change)
