"""Schedules of gradual pruning: how much has gone after each step of a fine-tuning loop."""

from __future__ import annotations

from edgecompile.errors import InvalidRecipeError


def cubic(final: float, steps: int, initial: float = 0.0) -> tuple[float, ...]:
    """`final + (initial - final) * (1 - i / steps) ** 3` for i = 1 ... steps: fast first, and slower at the end.

    The numbers are shares that go, such as ratios or sparsities, in increasing order; those that stay, such as budgets,
    go from 1 down: `cubic(0.5, 4, initial=1.0)`.

    Args:
        final: the last number.
        steps: how many numbers; 1 at least.
        initial: what is before the first one.

    Raises:
        InvalidRecipeError: there is no step.

    Source: Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression", 2017.
    """
    if steps < 1:
        raise InvalidRecipeError(f"a schedule has at least 1 step, found {steps}")
    return tuple(final + (initial - final) * (1 - step / steps) ** 3 for step in range(1, steps + 1))
