"""`scores`: how important each channel of each group is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.importance.criterion import Criterion, Scores
from edgecompile.compress.prune.importance.evidence import Evidence
from edgecompile.compress.prune.importance.registry import CRITERIA
from edgecompile.decision import Decision

STEP = "Importance"


def scores(groups: Iterable[Group], criterion: str, evidence: Evidence) -> dict[str, Scores]:
    """[channels] float64 for each group by its name; more is more important, and no score is negative.

    A norm grows with the layers that it is taken over, so that channels of different groups compare only after

        score / (mean score of the group)

    as of Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023, section 3.3. So are estimates of a loss: as
    they are, they rank all channels of late layers below all of early ones, which saves parameters and few MACs, and a
    sum of estimates of single channels is none for most of a layer. What is a share or a scale stays as it is.

    Args:
        groups: of `evidence.groups`.
        criterion: a name in `CRITERIA`.
        evidence: receives a decision for each group that could not be scored as asked for; one of which nothing is
            known has the score 1 for every channel.

    Raises:
        InvalidInputError: the criterion looks at data, and there are none.
        As for `bn_scale`, `Evidence.activations` and `Evidence.gradients`.
    """
    chosen = CRITERIA[criterion]
    evidence.check(criterion, chosen.needs)
    return {group.name: _scores(group, chosen, criterion, evidence) for group in groups}


def _scores(group: Group, criterion: Criterion, name: str, evidence: Evidence) -> Scores:
    evidence.progress(f"importance of the channels of {group.name}")
    found = criterion.score(group, evidence)
    if found is None or not np.isfinite(found).all():
        what = "no weight or activation that it is for" if found is None else "numbers that are NaN or infinite"
        reason = f"importance {name} found {what}: all its channels count the same"
        evidence.decisions.append(Decision(STEP, group.name, False, reason))
        return np.ones(group.channels)
    if np.ptp(found) == 0:
        reason = f"importance {name} does not tell its channels apart, all have {found[0]:.3g}: choose another"
        evidence.decisions.append(Decision(STEP, group.name, False, reason))
    mean = float(found.mean())
    return found / mean if criterion.is_relative and mean else found
