"""`ratios_for`: sensitivities to how much of each group may go."""

from __future__ import annotations

from edgecompile.compress.sensitivity.grid import SensitivityGrid
from edgecompile.compress.sensitivity.level_file import LevelKind, drops_of

PRUNING = LevelKind(kind="prune", level="ratio", step="pruning", levels="ratios", layer="group")
"""A level is the share of a group's channels that goes."""


def ratios_for(sensitivity: SensitivityGrid, max_drop: float) -> dict[str, float]:
    """The largest ratio of each group, pruned alone, up to which the metric falls by no more than a limit.

    Between two ratios that were measured, and between 0 and the first, the drop is taken to be on a straight line; no
    ratio is above the largest that was measured, nor above one at which the limit was passed.

    The limit holds for one group at a time, before anything is reconstructed: several groups together lose more than
    the sum, and a count of channels that is rounded to fewer than the ratio says loses more than the limit.

    Args:
        sensitivity: of a pruning step, from `read_levels`; perhaps edited. Ratios that are missing are not used, and a
            group of which all are missing is not in the answer: it stays whole.
        max_drop: at least 0, in the metric's unit.

    Raises:
        InvalidInputError: the limit is below 0, or the sensitivities have no metric.
    """
    return {group: _largest(drops, max_drop) for group, drops in drops_of(sensitivity, max_drop).items()}


def _largest(drops: dict[float, float], max_drop: float) -> float:
    ratio, drop = 0.0, 0.0
    for next_ratio, next_drop in sorted(drops.items()):
        if next_drop > max_drop:
            return ratio + (max_drop - drop) / (next_drop - drop) * (next_ratio - ratio)
        ratio, drop = next_ratio, next_drop
    return ratio
