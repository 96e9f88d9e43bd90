"""`ratios_for`: sensitivities to how much of each group may go."""

from __future__ import annotations

import os
from pathlib import Path

from edgecompile.compress.sensitivity.grid import SensitivityGrid, read_grid
from edgecompile.errors import InvalidInputError

_HOW = "`edgecompile analyze MODEL --recipe prune,... --calib ... --eval ... -o FILE.json`"


def read(path: str | os.PathLike[str]) -> SensitivityGrid:
    """A file of sensitivities that `edgecompile analyze` wrote, and a person may have edited.

    Raises:
        InvalidInputError: there is none, it cannot be read, or it is of another step than pruning.
    """
    found = read_grid(Path(path))
    if found is None:
        raise InvalidInputError(f"there is no file of sensitivities at {os.fspath(path)}: make one by {_HOW}")
    if (found.kind, found.level) != ("prune", "ratio"):
        raise InvalidInputError(
            f"needed sensitivities of pruning, found those of {found.kind!r} in {os.fspath(path)}: make them by {_HOW}"
        )
    wrong = next((ratio for levels in found.layers.values() for ratio in levels if ratio >= 1), None)
    if wrong is not None:
        raise InvalidInputError(f"ratios of pruning must be below 1, found {wrong:g} in {os.fspath(path)}")
    return found


def ratios_for(sensitivity: SensitivityGrid, max_drop: float) -> dict[str, float]:
    """The largest ratio of each group, pruned alone, up to which the metric falls by no more than a limit.

    Between two ratios that were measured, and between 0 and the first, the drop is taken to be on a straight line; no
    ratio is above the largest that was measured, nor above one at which the limit was passed.

    The limit holds for one group at a time, before anything is reconstructed: several groups together lose more than
    the sum, and a count of channels that is rounded to fewer than the ratio says loses more than the limit.

    Args:
        sensitivity: of a pruning step, from `read`; perhaps edited. Ratios that are missing are not used, and a
            group of which all are missing is not in the answer: it stays whole.
        max_drop: at least 0, in the metric's unit.

    Raises:
        InvalidInputError: the limit is below 0, or the sensitivities have no metric.
    """
    if not max_drop >= 0:
        raise InvalidInputError(f"max_drop must be at least 0, found {max_drop}")
    drops = {
        group: {ratio: sensitivity.drop(effect) for ratio, effect in levels.items()}
        for group, levels in sensitivity.layers.items()
    }
    unknown = next((group for group, found in drops.items() for drop in found.values() if drop is None), None)
    if unknown is not None:
        raise InvalidInputError(
            f"the sensitivities have no metric of {unknown!r}, so that no drop can be told: analyze with --eval"
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
