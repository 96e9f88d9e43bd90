"""`tolerated_shares`: how few parameters a file of sensitivities lets each layer of a model have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgecompile.compress.lowrank.layers import WeightedLayer
from edgecompile.compress.lowrank.recipe import LowRankStep
from edgecompile.compress.lowrank.sensitivity.shares import SHARES
from edgecompile.compress.sensitivity.level_file import check_fits, drops_of, read_levels
from edgecompile.frontend.model import Model


def tolerated_shares(model: Model, step: LowRankStep, layers: Sequence[WeightedLayer]) -> dict[str, float]:
    """By layer, the least share of its parameters with which the model's metric falls by no more than `step.drop`.

    Only what was measured counts, so that the layer alone becomes what it was then, and loses what the file says; no
    share is below one at which the limit was passed. Several layers together lose more than the sum.

    Args:
        model: as the step finds it, before it is simplified.
        step: without a file there are no shares.
        layers: of the simplified model.

    Returns:
        1 for a layer that loses more at each share; those of which the file says nothing are left out.

    Raises:
        InvalidInputError: there is no such file, it is of another model or another kind of step, it has a layer that
            the model cannot factorise, or no metric.
    """
    if step.sensitivity is None:
        return {}
    path = Path(step.sensitivity)
    found = read_levels(path, SHARES)
    check_fits(found, path, SHARES, model, {layer.name for layer in layers if not layer.reason})
    return {name: _least(drops, step.drop) for name, drops in drops_of(found, step.drop).items()}


def _least(drops: Mapping[float, float], max_drop: float) -> float:
    least = 1.0
    for share, drop in sorted(drops.items(), reverse=True):
        if drop > max_drop:
            break
        least = share
    return least
