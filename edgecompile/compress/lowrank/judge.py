"""The low-rank step where measurements decide: what is not faster on the target stays as it was."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgecompile.compress.lowrank.attempt import Attempt, Verdict
from edgecompile.compress.lowrank.choices import CostName
from edgecompile.compress.lowrank.choose import choose, least_share, totals
from edgecompile.compress.lowrank.factors import Factors
from edgecompile.compress.lowrank.prepare import Prepared, with_module
from edgecompile.compress.lowrank.recipe import Budget, LowRankStep
from edgecompile.compress.lowrank.refit import Refit
from edgecompile.compress.lowrank.rewrite import rewrite
from edgecompile.compress.lowrank.table import count_of, decisions_of, figures_of, sizes_of
from edgecompile.compress.lowrank.times import Times
from edgecompile.compress.measuring.timing import Cost
from edgecompile.compress.measuring.wording import number, place_of_time
from edgecompile.compress.measuring.workbench import Workbench
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.decision import OUTCOME_STEP, Decision
from edgecompile.errors import InvalidRecipeError
from edgecompile.frontend.model import Model
from edgecompile.target import Target

if TYPE_CHECKING:
    from edgecompile.compress.driver import Evaluate, StepResult
    from edgecompile.compress.lowrank.solve import Chosen, Costs

FASTER = 0.98
"""Of the time: with less to gain, noise decides."""

_ROUNDS = 5  # of choosing without what was no faster
_MUCH_LESS = 0.7  # of the work of a choice that is no faster: what is worth another try
_TRIES = 7  # of meeting a latency
_NEAR = 0.03  # of the latency that was asked for: near enough to stop
_PROMISED = 0.1  # likewise: a budget that is missed by more is refused
_SUFFIXES = ("", "_u", "_core")


def judged_step(
    model: Model,
    ready: Prepared,
    step: LowRankStep,
    refit: Refit,
    *,
    evaluate: Evaluate | None,
    max_drop: float | None,
    target: Target,
    report: str | os.PathLike[str] | None,
    progress: Callable[[str], None],
) -> StepResult:
    """The model with the factorisations that are faster, fitted, or as it was; arguments as of `compress`.

    Raises:
        InvalidRecipeError: the budget cannot be met, by measurement where it is one of latency.
        InvalidInputError: see `Metric`.
        OutputError, ToolchainError: the report cannot be written, or needs matplotlib.
    """
    from edgecompile.compress.driver import StepResult

    folder = None
    if report is not None:
        from edgecompile.report import report_folder

        folder = report_folder(report)
    metric = Metric(evaluate) if evaluate is not None else None
    names = [f"{name}{suffix}" for name in ready.choices for suffix in _SUFFIXES]
    with Workbench(ready.model, names, target, ready.sample, progress) as bench:
        judging = _Judge(ready, bench, refit, metric, max_drop, progress)
        found = judging.verdict(step)
        if folder is not None:
            from edgecompile.compress.lowrank.table import write_tables

            write_tables(folder, found.decisions, found.figures)
        changed = with_module(model, found.module, ready.sample) if found.factors else model
        return StepResult(changed, found.decisions, found.figures, is_judged=True)


class _Judge:
    def __init__(
        self,
        ready: Prepared,
        bench: Workbench,
        refit: Refit,
        metric: Metric | None,
        max_drop: float | None,
        progress: Callable[[str], None],
    ) -> None:
        self._ready, self._bench, self._metric, self._max_drop = ready, bench, metric, max_drop
        self._refit, self._progress = refit, progress
        self._plain = bench.build("original", ready.model.module)
        self._before = metric(self._plain.predict) if metric else None  # a wrong evaluation should cost no minutes
        self._banned: set[tuple[str, str]] = set()
        self._slow_methods: set[tuple[str, str]] = set()
        self._refused: dict[str, str] = {}
        self._factors: dict[tuple[str, str], Factors] = {}
        self._attempts: dict[tuple[tuple[str, str], ...], Attempt] = {}

    def verdict(self, step: LowRankStep) -> Verdict:
        budget = step.budget
        if budget is not None and budget.latency is not None:
            attempt = self._by_latency(budget.latency)
        else:
            what: CostName = "macs" if budget is not None and budget.macs is not None else "params"
            attempt = self._faster(self._ready.costs(what), budget.share if budget is not None else None)
        attempt, after = self._within_limit(self._fitted(attempt))
        return self._finish(attempt, after, self._missed(budget, attempt))

    def _missed(self, budget: Budget | None, attempt: Attempt) -> str:
        """Of a budget that could only be met with what is slower or too inexact; "" where it is met."""
        if budget is None or budget.latency is not None or not self._refused:
            return ""
        left = totals(self._ready, attempt.chosen)["macs" if budget.macs is not None else "params"]
        if left <= budget.share:
            return ""
        return f"; the budget {budget.what}={budget.share:g} is missed, by what is not faster or too inexact"

    def _by_latency(self, latency: float) -> Attempt:
        """The attempt whose time is nearest, of several whose layers teach what others would take."""
        (plain,) = self._bench.layer_costs([self._plain])
        (whole,) = self._bench.compare([self._plain])
        times = Times(self._ready, plain, whole.median)
        best: tuple[float, Attempt] | None = None
        seen: list[Attempt] = []
        share, fastest = latency, 1.0
        for _ in range(_TRIES):
            share = max(share, least_share(self._ready, times.costs, self._banned))
            attempt = self._faster(times.costs, share)
            if attempt in seen:
                break
            seen.append(attempt)
            ratio = self._ratio(attempt).ratio
            fastest = min(fastest, ratio)
            if best is None or abs(ratio - latency) < best[0]:
                best = (abs(ratio - latency), attempt)
            if best[0] <= _NEAR * latency:
                break
            times.learn(attempt.chosen, {name: costs[self._bench.unit] for name, costs in attempt.costs.items()})
            # What the layers' own times do not tell, such as conversions between layouts, stays about as it is.
            share = latency - (ratio - times.costs.share(attempt.chosen))
        assert best is not None
        if fastest > latency * (1 + _PROMISED):
            raise InvalidRecipeError(
                f"the budget latency={latency:g} cannot be met: the smallest measured is {fastest:.2f}"
            )
        return best[1]

    def _faster(self, costs: Costs, share: float | None) -> Attempt:
        """Choose, time the layers, and choose again without what is no faster.

        Where the budget cannot be met without it, the layers that are no faster stay as they were, and the budget is
        missed: the outcome says so.
        """
        attempt = self._attempt(choose(self._ready, costs, share, self._banned))
        for tried in range(1, _ROUNDS + 1):
            if not attempt.slow:
                return attempt
            self._ban(attempt, wholly=tried == _ROUNDS)
            if share is not None and least_share(self._ready, costs, self._banned) > share:
                break
            attempt = self._attempt(choose(self._ready, costs, share, self._banned))
        rest = {name: None if name in attempt.slow else choice for name, choice in attempt.chosen.items()}
        return self._attempt(rest)

    def _ban(self, attempt: Attempt, *, wholly: bool) -> None:
        """The slow choices, and those of the same method with no much less work; all of it at the second time.

        Args:
            wholly: leave the slow layers as they were, since there is no time for more tries.
        """
        for name, why in attempt.slow.items():
            choice = attempt.chosen[name]
            assert choice is not None
            least = 0.0 if (name, choice.method.name) in self._slow_methods else _MUCH_LESS * choice.macs
            self._refused[name] = why
            self._slow_methods.add((name, choice.method.name))
            self._banned |= {
                (name, other.name)
                for other in self._ready.choices[name]
                if wholly or (other.method is choice.method and other.macs >= least)
            }

    def _attempt(self, chosen: Chosen) -> Attempt:
        key = tuple((name, choice.name) for name, choice in chosen.items() if choice)
        if key not in self._attempts:
            factors = {}
            for name, choice in chosen.items():
                if choice is None:
                    continue
                if (name, choice.name) not in self._factors:
                    self._factors[name, choice.name] = choice.method.factors(choice.ranks)
                factors[name] = self._factors[name, choice.name]
            module = rewrite(self._ready.model.module, factors)
            candidate = self._bench.build(f"{len(factors)} factorised layers", module) if factors else self._plain
            attempt = self._attempts[key] = Attempt(chosen, factors, candidate)
            self._time_layers(attempt)
        return self._attempts[key]

    def _time_layers(self, attempt: Attempt) -> None:
        if not attempt.factors:
            return
        plain, factorised = self._bench.layer_costs([self._plain, attempt.candidate])
        for name in attempt.factors:
            before = plain.get(name)
            parts = [factorised[part] for suffix in _SUFFIXES if (part := f"{name}{suffix}") in factorised]
            after = sum(parts) if len(parts) == len(attempt.factors[name].all) else None
            unit = self._bench.unit
            if before is None or after is None:
                continue
            attempt.costs[name] = {f"{unit} before": before, unit: after}
            if after >= FASTER * before:
                choice = attempt.chosen[name]
                assert choice is not None
                attempt.slow[name] = f"{choice.name} is not faster: {place_of_time(before, after, unit)}"

    def _ratio(self, attempt: Attempt) -> Cost:
        return self._bench.compare([self._plain, attempt.candidate])[1]

    def _fitted(self, attempt: Attempt) -> Attempt:
        """The attempt as it would ship. A fit hardly changes the time, so what is only timed goes without."""
        if self._refit.is_idle or not attempt.factors:
            return attempt
        module, fits = self._refit(attempt.candidate.module)
        candidate = self._bench.build(f"{len(attempt.factors)} factorised layers, fitted", module)
        return dataclasses.replace(attempt, candidate=candidate, fits=fits)

    def _within_limit(self, attempt: Attempt) -> tuple[Attempt, float | None]:
        """Give layers back, that with the most error first, until the metric of the compiled model is good enough."""
        if self._metric is None or self._before is None:
            return attempt, None
        after = self._metric(attempt.candidate.predict)
        while self._max_drop is not None and attempt.factors:
            if after >= self._before - self._max_drop - 1e-9 * max(1.0, abs(self._before)):
                break
            worst = max(attempt.factors, key=lambda name: attempt.factors[name].error)
            self._refused[worst] = (
                f"too inexact: {attempt.factors[worst].error:.2%} error, the metric was {number(after)} with it"
            )
            attempt = self._fitted(self._attempt({**attempt.chosen, worst: None}))
            after = self._metric(attempt.candidate.predict)
        return attempt, after

    def _finish(self, attempt: Attempt, after: float | None, missed: str) -> Verdict:
        """Compare the whole models, and word what was decided."""
        unit = self._bench.unit
        plain, cost = self._bench.compare([self._plain, attempt.candidate])
        time = f"{cost.ratio:.2f} of the time ({number(plain.median)} -> {number(cost.median)} {unit})"
        pays = bool(attempt.factors) and cost.ratio <= FASTER
        metric = "" if after is None else f", metric {number(self._before)} -> {number(after)}"
        sizes = sizes_of(self._ready, attempt.chosen)
        if pays:
            outcome = f"{count_of(attempt.factors)}: {time}, {sizes}{metric}{missed}"
        elif attempt.factors:
            outcome = f"nothing is factorised: the model as a whole is not faster, {time} with {sizes}{metric}"
        else:
            outcome = "nothing is factorised: no layer is faster and exact enough"
        chosen = attempt.chosen if pays else dict.fromkeys(attempt.chosen)
        factors = attempt.factors if pays else {}
        decisions = decisions_of(self._ready, chosen, factors)
        worded = [self._with_times(decision, attempt, unit, pays) for decision in decisions]
        figures = figures_of(self._ready, chosen, factors)
        for name, costs in attempt.costs.items():
            if name in figures:
                figures[name] |= costs
        first = Decision(OUTCOME_STEP, self._ready.model.name, pays, outcome)
        if not pays:
            return Verdict(factors, self._plain.module, [first, *worded], figures)
        return Verdict(factors, attempt.candidate.module, [first, *worded, *attempt.fits], figures)

    def _with_times(self, decision: Decision, attempt: Attempt, unit: str, pays: bool) -> Decision:
        name, reason = decision.subject, decision.reason
        costs = attempt.costs.get(name)
        if decision.kept and costs:
            reason = f"{reason}, {place_of_time(costs[f'{unit} before'], costs[unit], unit)}"
        elif not decision.kept and name in attempt.factors and not pays:
            reason = "the model as a whole is not faster"
        elif not decision.kept and name in self._refused:
            reason = self._refused[name]
        return Decision(decision.step, name, decision.kept, reason)
