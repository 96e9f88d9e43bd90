"""The scales of batch norms."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.importance.evidence import Evidence
from edgecompile.compress.prune.importance.l2 import l2
from edgecompile.decision import Decision
from edgecompile.errors import InvalidRecipeError


def bn_scale(group: Group, evidence: Evidence) -> Scores | None:
    """Mean of |scale| over the batch norms of a group.

    A group without batch norms has its scores of `l2`, with the mean that the scales of the model have; a decision
    tells it.

    Raises:
        InvalidRecipeError: no group has a batch norm; many ONNX models have theirs folded into convolutions.

    Source: Liu et al., Learning Efficient Convolutional Networks through Network Slimming, ICCV 2017.
    """
    found = _scales(group, evidence)
    if found is not None:
        return found
    others = [scales for other in evidence.groups if (scales := _scales(other, evidence)) is not None]
    if not others:
        raise InvalidRecipeError(
            "importance bn_scale needs batch norms behind the layers that are pruned, and the model has none: choose l2"
        )
    by_norm = l2(group, evidence)
    if by_norm is None:
        return None
    evidence.decisions.append(
        Decision("BnScale", group.name, False, "it has no batch norm; its channels are compared by l2")
    )
    mean = float(np.concatenate(others).mean())
    return by_norm * (mean / (by_norm.mean() or 1.0))


def _scales(group: Group, evidence: Evidence) -> Scores | None:
    members = [m for m in group.members if (m.axis.operator, m.axis.operand) == ("nn.batch_norm", "scale")]
    found = [np.abs(slices).mean(1, dtype=np.float64) for slices in evidence.slices(members)]
    return np.mean(found, axis=0) if found else None
