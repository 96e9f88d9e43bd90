"""What the loss would change without a channel, to first order."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.evidence import Evidence
from edgecompile.compress.prune.importance.members import kernels_of, slices_of, total
from edgecompile.compress.prune.weights import Weights


def taylor(group: Group, evidence: Evidence) -> Scores | None:
    """Mean over samples of (sum of dL/dw * w)^2, over the kernels that read the channel.

    To set them to zero is to remove the channel, so that the sum is dL/da * a for all numbers a of its maps: the gate
    behind the layer and its batch norm, which the source found best. Kernels that make the channel are left out, since
    each path through it would count twice; they are taken where none reads it. The loss is `gradients.loss_of`.

    Source: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, equation 8.
    """
    return evidence.gradients(squared_change).get(group.name)


def squared_change(group: Group, products: Weights) -> Scores | None:
    """[channels], of one sample."""
    members = kernels_of(group, "input") or kernels_of(group)
    change = total(slices_of(members, products), np.asarray)
    return None if change is None else np.square(change)
