"""`solve`: the share of channels that goes so that a budget is met."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgecompile.compress.prune.costs import Counts
from edgecompile.compress.prune.selection.ranking import Ranking

_HALVINGS = 48  # of the interval 0..1: no two shares at which a channel goes are closer


def solve(ranking: Ranking, cost_of: Callable[[Counts], int], budget: float) -> Counts | None:
    """The channels that stay of each group so that the cost just meets a budget; None where it cannot be met.

    The share of the ranking at which the budget is met is bisected, with all rounding inside. Where several groups
    step down at that share, only as many do as the budget needs, first those that lose least for what they save.
    """
    if cost_of(ranking.kept(0.0)) <= budget:
        return ranking.kept(0.0)
    if cost_of(ranking.kept(1.0)) > budget:
        return None
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if cost_of(ranking.kept(middle)) > budget:
            low = middle
        else:
            high = middle
    return _between(ranking, cost_of, budget, ranking.kept(low), ranking.kept(high))


def _between(ranking: Ranking, cost_of: Callable[[Counts], int], budget: float, more: Counts, fewer: Counts) -> Counts:
    """Of two choices, the one above the budget and the other within it, what lies between and is just within."""

    def price(group: int) -> float:
        saved = cost_of(more) - cost_of(_with(more, group, fewer))
        return ranking.loss(group, int(more[group]), int(fewer[group])) / max(saved, 1)

    kept, taken = more, []
    for group in sorted(np.flatnonzero(more != fewer).tolist(), key=price):
        kept = _with(kept, group, fewer)
        taken.append(group)
        if cost_of(kept) <= budget:
            break
    for group in reversed(taken[:-1]):  # what a later step made needless
        if cost_of(_with(kept, group, more)) <= budget:
            kept = _with(kept, group, more)
    return kept


def _with(counts: Counts, group: int, other: Counts) -> Counts:
    changed = counts.copy()
    changed[group] = other[group]
    return changed
