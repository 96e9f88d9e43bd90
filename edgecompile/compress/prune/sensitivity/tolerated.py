"""`tolerated_ratios`: what a file of sensitivities lets go of each group of a model."""

from __future__ import annotations

from pathlib import Path

from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.recipe import PruneStep
from edgecompile.compress.prune.selection.rounding import step_of
from edgecompile.compress.prune.sensitivity.ratios import PRUNING, ratios_for
from edgecompile.compress.sensitivity.level_file import check_fits, read_levels
from edgecompile.frontend.model import Model


def tolerated_ratios(model: Model, step: PruneStep, groups: Groups, round_to: int) -> dict[str, float]:
    """By group, the ratio that the step's file says it can lose, of whole steps of channels and not more.

    Args:
        step: without a file there are no ratios.
        round_to: see `step_of`.

    Raises:
        InvalidInputError: there is no such file, it is for another model, it has a group that the model has not, or no
            metric.
    """
    if step.sensitivity is None:
        return {}
    path = Path(step.sensitivity)
    found = read_levels(path, PRUNING)
    by_name = {group.name: group for group in groups}
    check_fits(found, path, PRUNING, model, by_name)
    ratios = {}
    for name, ratio in ratios_for(found, step.drop).items():
        channels, size = by_name[name].channels, step_of(by_name[name], round_to)
        least = -(-round((1 - ratio) * channels, 9) // size) * size
        ratios[name] = min(1 - min(least, channels) / channels, step.most)
    return ratios
