"""`select`: scores of channels to the channels that go."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping

from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.channels.tensor import Elements
from edgecompile.compress.prune.costs import Cost, Costs, Counts
from edgecompile.compress.prune.selection.ranking import Ranking, Scores
from edgecompile.compress.prune.selection.rounding import Allowed
from edgecompile.compress.prune.selection.selection import Budget, Selection
from edgecompile.compress.prune.selection.solve import solve
from edgecompile.errors import InvalidRecipeError

_FIGURES: Mapping[str, Callable[[Cost], int]] = {
    "macs": lambda cost: cost.macs,
    "params": lambda cost: cost.params,
    "bytes": lambda cost: cost.weight_bytes,
}
_WORDS = {"macs": "multiply-accumulates", "params": "parameters", "bytes": "bytes of weights"}


def select(groups: Groups, scores: Mapping[str, Scores], costs: Costs, how: Selection) -> dict[str, Elements]:
    """The channels that go, by the name of their group; groups that stay whole are left out.

    Args:
        groups: of the model, one at least.
        scores: by the name of a group; a group without any stays whole.
        costs: of the model.
        how: whose budget, if any, is not one of latency; see `select_for_latency`.

    Raises:
        InvalidRecipeError: there is nothing to prune, a ratio is for a group that is not there, or the budget cannot be
            met; says what can.
        InvalidModelError: a score is not finite.
    """
    ranking = rank(groups, scores, how)
    if how.budget is None:
        return removed_channels(groups, ranking, ranking.kept(how.ratio or 0.0))
    return removed_channels(groups, ranking, within(ranking, costs, how.budget, how))


def rank(groups: Groups, scores: Mapping[str, Scores], how: Selection) -> Ranking:
    """The order in which channels go; raises as `select`."""
    if not len(groups):
        raise InvalidRecipeError("pruning needs channels that can go, and the model has none; see inspect --groups")
    names = [group.name for group in groups]
    for name in how.ratios:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names[:3]
            raise InvalidRecipeError(f"there is no group {name!r:.60}; the nearest are {', '.join(near)}")
    allowed = [Allowed.of(group, most=how.most, least=how.least, round_to=how.round_to) for group in groups]
    return Ranking(groups.groups, scores, allowed, how.method, how.ratios)


def within(ranking: Ranking, costs: Costs, budget: Budget, how: Selection) -> Counts:
    """The channels that stay of each group so that the model is within a budget of counts; raises as `select`."""
    figure = _FIGURES[budget.kind]
    whole = figure(costs.whole)
    kept = solve(ranking, lambda counts: figure(costs.of_counts(counts)), budget.share * whole)
    if kept is None:
        least = figure(costs.of_counts(ranking.kept(1.0)))
        raise InvalidRecipeError(
            f"{budget.kind}={budget.share:g} cannot be met: {least:,} of {whole:,} {_WORDS[budget.kind]} stay at least "
            f"where at most {how.most:.0%} of a group's channels go; the smallest that can is "
            f"{budget.kind}={rounded_up(least / max(whole, 1)):g}"
        )
    return kept


def removed_channels(groups: Groups, ranking: Ranking, kept: Counts) -> dict[str, Elements]:
    """By name, the channels that go so that so many stay of each group."""
    found = zip(groups, ranking.removed(kept), strict=True)
    return {group.name: channels for group, channels in found if len(channels)}


def rounded_up(share: float) -> float:
    """To three digits, so that what a message says can be asked for."""
    return math.ceil(share * 1000) / 1000
