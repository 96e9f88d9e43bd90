"""`gradual`: a pruning step as several smaller ones, between which a network can be trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgecompile.compress.prune.recipe import BUDGETS, PruneStep
from edgecompile.compress.prune.selection.schedule import cubic


def gradual(step: PruneStep, count: int) -> tuple[PruneStep, ...]:
    """Steps that, one after the other, take away as much as one: much at first, and less and less.

        for step in gradual(recipe, 5):
            model = fine_tune(ec.compress(model, Recipe(steps=(step,))))

    What goes altogether after each follows `cubic`. Each step says what goes, or stays, of the model that the one
    before it left, so it does not matter what training changes in between.

    Args:
        step: with ratios, a budget, or both.
        count: how many; 1 at least.

    Raises:
        InvalidRecipeError: there is no step.
    """
    gone = (0.0, *cubic(1.0, count))  # of what one step would do
    return tuple(_part(step, gone[number], gone[number + 1]) for number in range(count))


def _part(step: PruneStep, done: float, then: float) -> PruneStep:
    data = step.to_data()
    for name in BUDGETS:
        share = getattr(step, name)
        if share is not None:
            data[name] = (1 - then * (1 - share)) / (1 - done * (1 - share))
    for rule in _rules(data):
        ratio = rule.get("ratio")
        if ratio is not None:
            rule["ratio"] = 1 - (1 - then * ratio) / (1 - done * ratio)
    return PruneStep.model_validate(data)


def _rules(data: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Whatever has a ratio: the step, its default, and its rules."""
    found = [data, data.get("default", {})]
    for key in ("operators", "layers"):
        found += data.get(key, {}).values()
    return found
