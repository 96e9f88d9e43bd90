"""`prune`: one step of a recipe, from a model to one with fewer channels."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.tensor import Elements
from edgecompile.compress.prune.costs import Costs
from edgecompile.compress.prune.importance import Evidence, scores
from edgecompile.compress.prune.recipe import PruneStep
from edgecompile.compress.prune.resolve import ResolvedGroup, resolve
from edgecompile.compress.prune.rewrite import kept_without, remove
from edgecompile.compress.prune.selection import Budget, Selection, select
from edgecompile.compress.prune.selection.latency import select_for_latency
from edgecompile.compress.prune.selection.rounding import vector_multiple
from edgecompile.compress.prune.sensitivity.tolerated import tolerated_ratios
from edgecompile.compress.reconstruct import how_to_fit, reconstruct
from edgecompile.compress.samples.replay import Replay
from edgecompile.decision import Decision
from edgecompile.frontend.model import Model
from edgecompile.report.plot_channels import GroupChannels, plot_channels
from edgecompile.target import Target, find_target

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate, StepResult

STEP = "Prune"

Removed = Mapping[str, Elements]


def prune(
    model: Model,
    step: PruneStep,
    *,
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
    evaluate: Evaluate | None,
    max_drop: float | None,
    target: str,
    report: str | os.PathLike[str] | None,
    progress: Callable[[str], None],
) -> StepResult:
    """The model with the least important channels gone, and what is left fitted; arguments as of `compress`.

    Raises:
        InvalidRecipeError: the step does not fit the model, or its budget cannot be met; says what can.
        InvalidInputError: the importance, or what shall be fitted, needs data, and there are none.
        UnsupportedModelError: the model has control flow.
        UnknownTargetError: there is no such target.
    """
    from edgecompile.compress.driver import StepResult

    del table, evaluate, max_drop, report  # the caller judges the whole step
    device = find_target(target)
    progress("groups of channels")
    groups = find_groups(model.module)
    resolved = resolve(step, groups)
    replay = Replay(data, model.inputs, samples) if data is not None else None
    how = how_to_fit(step.reconstruct, replay)
    evidence = Evidence(model, groups, replay, seed=step.seed, progress=progress)
    removed, figures = _removed(model, step, groups, resolved, evidence, device, replay, progress)
    kept = kept_without(groups, removed)
    pruned = dataclasses.replace(model, module=remove(model.module, groups, removed))
    decisions = [*_decisions(step, groups, resolved, removed), *evidence.decisions]
    if how != "none" and removed:
        assert replay is not None
        stays = outputs_that_stay(groups, kept)
        pruned = reconstruct(model, pruned, stays, replay, how, decisions, progress)
    figures |= {"before": _size(model), "after": _size(pruned)}
    channels = [
        GroupChannels(group.name, group.channels, group.channels - len(removed.get(group.name, ()))) for group in groups
    ]
    return StepResult(
        pruned if removed else model,
        decisions,
        figures,
        sample=replay.first if replay is not None else {},
        plots={"channels.png": lambda: plot_channels(channels)},
    )


def outputs_that_stay(groups: Groups, kept: Kept) -> dict[str, Elements]:
    """By the name of a convolution or product, the indices of its output channels that stay, where some go."""
    found = {}
    for variable, site in groups.program.sites.items():
        is_product = site.operator == "matmul"
        if not is_product and not site.operator.startswith("nn.conv"):
            continue
        output = site.output
        axis = output.rank - 1 if is_product else 1
        stays = kept.indices(output, axis)
        if output.shape[axis] is not None and len(stays) < (output.shape[axis] or 0):
            found[variable.name] = stays
    return found


def _removed(
    model: Model,
    step: PruneStep,
    groups: Groups,
    resolved: Sequence[ResolvedGroup],
    evidence: Evidence,
    device: Target,
    replay: Replay | None,
    progress: Callable[[str], None],
) -> tuple[Removed, dict[str, Mapping[str, float]]]:
    """The channels that go, and what was measured for it."""
    progress(f"importance by {step.importance}")
    found = scores([entry.group for entry in resolved if not entry.rule.skip], step.importance, evidence)
    round_to = vector_multiple(device) if step.round_to == "auto" else step.round_to
    ratios = {entry.group.name: 0.0 if entry.rule.skip else entry.rule.ratio for entry in resolved}
    tolerated = tolerated_ratios(model, step, groups, round_to)
    ratios = {name: tolerated.get(name) if ratio is None else ratio for name, ratio in ratios.items()}
    budget = Budget(*step.budget) if step.budget is not None else None  # type: ignore[arg-type]  # names of BUDGETS
    how = Selection(
        method=step.method,
        ratio=None if budget is not None else step.ratio or 0.0,
        budget=budget,
        ratios={name: ratio for name, ratio in ratios.items() if ratio is not None},
        most=step.most,
        round_to=round_to,
    )
    costs = Costs(model.module, groups)
    if budget is None or budget.kind != "latency":
        return select(groups, found, costs, how), {}
    sample = next(iter(replay), {}) if replay is not None else {}
    choice = select_for_latency(model, groups, found, costs, how, target=device, sample=sample, progress=progress)
    timing = choice.timing
    return choice.removed, {
        "latency": {
            "asked ratio": choice.wanted,
            "ratio": timing.ratio,
            f"before {choice.unit}": timing.plain,
            f"after {choice.unit}": timing.pruned,
            "tried": float(len(choice.timings)),
        }
    }


def _decisions(step: PruneStep, groups: Groups, resolved: Sequence[ResolvedGroup], removed: Removed) -> list[Decision]:
    decisions = []
    for group, rule, _ in resolved:
        gone = len(removed.get(group.name, ()))
        if gone:
            reason = f"{gone} of {group.channels} channels go, the least important by {step.importance}"
        else:
            reason = "the recipe skips it" if rule.skip else "none of its channels is among those that go"
        decisions.append(Decision(STEP, group.name, bool(gone), reason))
    for fixed in groups.fixed:
        decisions.append(Decision(STEP, fixed.axis.layer, False, f"{fixed.channels} channels stay: {fixed.reason}"))
    return decisions


def _size(model: Model) -> dict[str, float]:
    return {"MACs": float(model.macs), "parameters": float(model.params), "weight bytes": float(model.weight_bytes)}
