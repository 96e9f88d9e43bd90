"""`ratios_for`: sensitivities to how much of each group may go."""

from __future__ import annotations

from edgecompile.compress.sensitivity.grid import SensitivityGrid
from edgecompile.errors import InvalidInputError


def ratios_for(sensitivity: SensitivityGrid, max_drop: float) -> dict[str, float]:
    """The largest ratio of each group, pruned alone, up to which the metric falls by no more than a limit.

    Between two ratios that were measured, and between 0 and the first, the drop is taken to be on a straight line; no
    ratio is above the largest that was measured, nor above one at which the limit was passed.

    Args:
        sensitivity: of a pruning step, from `read_grid`; perhaps edited. Ratios that are missing are not used, and a
            group of which all are missing is not in the answer: it stays whole.
        max_drop: at least 0, in the metric's unit.

    Raises:
        InvalidInputError: the sensitivities are of another step, or without a metric.
    """
    if (sensitivity.kind, sensitivity.level) != ("prune", "ratio"):
        raise InvalidInputError(
            f"needed sensitivities of pruning, found those of {sensitivity.kind!r}: make them by `edgecompile analyze "
            "MODEL --recipe prune,...`"
        )
    if not max_drop >= 0:
        raise InvalidInputError(f"max_drop must be at least 0, found {max_drop}")
    drops = {
        group: {ratio: sensitivity.drop(effect) for ratio, effect in levels.items()}
        for group, levels in sensitivity.layers.items()
    }
    unknown = next((group for group, found in drops.items() for drop in found.values() if drop is None), None)
    if unknown is not None:
        raise InvalidInputError(
            f"the sensitivities have no metric of {unknown!r}, so that no drop can be told: analyze with an eval"
        )
    return {
        group: _largest({ratio: drop for ratio, drop in found.items() if drop is not None}, max_drop)
        for group, found in drops.items()
        if found
    }


def _largest(drops: dict[float, float], max_drop: float) -> float:
    ratio, drop = 0.0, 0.0
    for next_ratio, next_drop in sorted(drops.items()):
        if next_drop > max_drop:
            return ratio + (max_drop - drop) / (next_drop - drop) * (next_ratio - ratio)
        ratio, drop = next_ratio, next_drop
    return ratio
