"""`select_for_latency`: the channels that go so that the model takes a given part of its time on the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgecompile.compress.measuring.wording import number
from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.channels.tensor import Elements
from edgecompile.compress.prune.costs import Costs, Counts
from edgecompile.compress.prune.rewrite import remove
from edgecompile.compress.prune.selection.approach import PROMISED, approach
from edgecompile.compress.prune.selection.comparison import comparison, unit_of
from edgecompile.compress.prune.selection.ranking import Ranking, Scores
from edgecompile.compress.prune.selection.select import rank, removed_channels, rounded_up, within
from edgecompile.compress.prune.selection.selection import Budget, BudgetKind, Selection
from edgecompile.errors import InvalidRecipeError
from edgecompile.frontend.model import Model
from edgecompile.target import Target

_MOST_PROBES = 6  # compilations of pruned models; the unpruned one is compiled too


@dataclass(frozen=True)
class Timing:
    """What was measured for one choice of channels.

    Attributes:
        share: of the work that stays.
        plain, pruned: what one inference takes, in the unit of the choice.
        ratio: of the two, the median over rounds in turns.
    """

    share: float
    plain: float
    pruned: float
    ratio: float


@dataclass(frozen=True)
class TimedChoice:
    """The channels that go for a budget of time, and how that was found.

    Attributes:
        removed: by the name of their group.
        wanted: the ratio of times that was asked for.
        timing: of this choice.
        timings: of all that were tried, in order.
        work: what was varied, "macs" or "params".
        unit: "ms" where they were measured on this machine, "cycles" where they were estimated for another one.
    """

    removed: Mapping[str, Elements]
    wanted: float
    timing: Timing
    timings: tuple[Timing, ...]
    work: BudgetKind
    unit: str

    @property
    def is_near(self) -> bool:
        """True where the time is within a tenth of what was asked for."""
        return abs(self.timing.ratio - self.wanted) <= PROMISED * self.wanted

    def __str__(self) -> str:
        found = (
            f"latency={self.wanted:g}: {self.timing.ratio:.3f} of the time, {number(self.timing.pruned)} {self.unit} "
            f"in place of {number(self.timing.plain)}, with {self.timing.share:.3f} of the {self.work}"
        )
        if self.is_near:
            return found
        others = ", ".join(f"{timing.ratio:.3f}" for timing in sorted(self.timings, key=lambda timing: timing.ratio))
        return f"{found}; the nearest that is not slower, of {others}"


def select_for_latency(
    model: Model,
    groups: Groups,
    scores: Mapping[str, Scores],
    costs: Costs,
    how: Selection,
    *,
    target: Target,
    sample: Mapping[str, np.ndarray],
    progress: Callable[[str], None],
) -> TimedChoice:
    """Compile the model without some channels, and time it beside the whole one, until the time is what was asked for.

    What is varied is the share of multiply-accumulates that stays (of parameters, where the former are known at run
    time only), so all options of `how` hold as for a budget of those.

    Args:
        model: that the groups, scores and costs are of.
        how: with a budget of latency.
        target: where it shall run; one that cannot run here gets estimated cycles.
        sample: the inputs by name; the self-test's where it is empty.

    Raises:
        InvalidRecipeError: as `select`; the budget cannot be met.
        UnsupportedModelError: cycles cannot be estimated.
        ToolchainError: the model cannot be compiled.
    """
    assert how.budget is not None and how.budget.kind == "latency"
    wanted, ranking = how.budget.share, rank(groups, scores, how)
    work: BudgetKind = "macs" if costs.whole.macs else "params"
    least = _least_share(ranking, costs, work)
    timings: dict[tuple[int, ...], Timing] = {}

    def choice_of(share: float) -> tuple[int, ...]:
        return tuple(within(ranking, costs, Budget(work, max(share, least)), how).tolist())

    def measure(choice: tuple[int, ...]) -> float:
        removed = removed_channels(groups, ranking, np.array(choice, np.int64))
        share = _share(costs, work, np.array(choice, np.int64))
        plain, pruned = compare(remove(model.module, groups, removed), f"{share:.2f} of the {work}")
        timings[choice] = Timing(share, plain.median, pruned.median, pruned.ratio)
        return pruned.ratio

    with comparison(model, target, sample, progress) as compare:
        found = approach(wanted, least, choice_of, measure, _MOST_PROBES)
    unit = unit_of(target)
    if found.best is None:
        fastest = min(timings.values(), key=lambda timing: timing.ratio)
        raise InvalidRecipeError(
            f"latency={wanted:g} cannot be met on {target.name}: without all that may go (at most {how.most:.0%} of a "
            f"group's channels) the model takes {fastest.ratio:.3f} of its time, {number(fastest.pruned)} "
            f"{unit} in place of {number(fastest.plain)}; the smallest that can is "
            f"latency={rounded_up(fastest.ratio):g}"
        )
    choice = found.best.choice
    removed = removed_channels(groups, ranking, np.array(choice, np.int64))
    return TimedChoice(removed, wanted, timings[choice], tuple(timings.values()), work, unit)


def _share(costs: Costs, work: BudgetKind, kept: Counts) -> float:
    found, whole = costs.of_counts(kept), costs.whole
    return found.macs / whole.macs if work == "macs" else found.params / whole.params


def _least_share(ranking: Ranking, costs: Costs, work: BudgetKind) -> float:
    """What stays of the work where all goes that may; a little more, since budgets are compared with it."""
    return min(_share(costs, work, ranking.kept(1.0)) * (1 + 1e-9), 1.0)
