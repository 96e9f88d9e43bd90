"""`Gradual`: a pruning step as several smaller ones, between which a network can be trained."""

from __future__ import annotations

import glob
import math
from typing import Any

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.channels.group import Group
from edgecompile.compress.prune.recipe import PruneStep
from edgecompile.compress.prune.resolve import resolve
from edgecompile.compress.prune.selection.rounding import Allowed, vector_multiple
from edgecompile.compress.prune.selection.schedule import cubic
from edgecompile.compress.prune.selection.selection import Selection
from edgecompile.errors import InvalidRecipeError
from edgecompile.frontend.model import Model
from edgecompile.target import find_target

_COUNTED = {"macs": "macs", "params": "params", "bytes": "weight_bytes"}  # properties of a model


class Gradual:
    """Takes away as much as one step, in several: much at first, and less and less.

        schedule = Gradual(model, PruneStep(macs=0.5), 5)
        for number in range(1, 6):
            part = schedule.part(model, number)
            if part is not None:
                model = ec.compress(model, Recipe(steps=(part,)), data=data)
            model = fine_tune(model)

    What goes altogether after each follows `cubic`, counted from the whole model: what one part takes beyond its share,
    as channels come in multiples, the next ones leave. Only `most` counts from the model that a part finds.

    Args:
        whole: the model before the first part.
        step: with a ratio and the selection "uniform", rules with ratios, a budget, or both of the latter.
        count: how many parts; 1 at least.
        target: whose vectors "auto" rounding is for.

    Raises:
        InvalidRecipeError: there is no part, the step does not fit the model, or it has a sensitivity, which is of one
            model, or a ratio of all groups together, for which a budget stands.
        UnsupportedModelError: the model has control flow.
        UnknownTargetError: there is no such target.
    """

    def __init__(self, whole: Model, step: PruneStep, count: int, target: str = "host") -> None:
        if step.sensitivity is not None:
            raise InvalidRecipeError("sensitivities are of the whole model, not of its parts: give ratios or a budget")
        if step.ratio is not None and step.method != "uniform":
            raise InvalidRecipeError(
                f"gradual pruning needs a budget or selection=uniform, found ratio={step.ratio:g} by {step.method}"
            )
        self._whole, self._step = whole, step
        self._gone = (0.0, *cubic(1.0, count))  # of what one step would do
        self._round_to = vector_multiple(find_target(target)) if step.round_to == "auto" else step.round_to
        self._ratios: dict[str, float] = {}  # by group
        self._groups: dict[str, Group] = {}
        for group, rule, _ in resolve(step, find_groups(whole.module)):
            ratio = step.ratio if rule.ratio is None else rule.ratio
            if ratio is not None and not rule.skip:
                self._ratios[group.name], self._groups[group.name] = ratio, group
        Selection(ratios=self._ratios, most=step.most)  # refuses a ratio above most, which no part would show

    def part(self, model: Model, number: int) -> PruneStep | None:
        """What goes of a model now; None where nothing is left to do for this part.

        Args:
            model: what the part before it, and training, made of the whole one.
            number: of the part, from 1.
        """
        assert 1 <= number < len(self._gone), f"part {number} of {len(self._gone) - 1}"
        data = _without_ratios(self._step.to_data())
        rules = self._rules(model, self._gone[number])
        budget = self._budget(model, number)
        data |= budget
        if not budget:
            for name in _COUNTED:
                data.pop(name, None)
            data.pop("latency", None)
        if not budget and all(not rule["ratio"] for rule in rules.values()):
            return None
        data["layers"] = data.get("layers", {}) | rules
        return PruneStep.model_validate(data)

    def _budget(self, model: Model, number: int) -> dict[str, float]:
        """Of what stays of the whole model, the part that stays of this one; empty where that is all of it."""
        if self._step.budget is None:
            return {}
        name, share = self._step.budget
        wanted = 1 - self._gone[number] * (1 - share)
        if name in _COUNTED:
            now = getattr(model, _COUNTED[name]) / max(getattr(self._whole, _COUNTED[name]), 1)
        else:
            now = self._time_left(model) or 1 - self._gone[number - 1] * (1 - share)
        return {name: wanted / now} if wanted < now else {}

    def _time_left(self, model: Model) -> float | None:
        """Of the whole model's time, as the parts measured it; None where training lost their records."""
        records = model.history[len(self._whole.history) :]
        found = [record.figures["latency"]["ratio"] for record in records if "latency" in record.figures]
        return math.prod(found) if found else None

    def _rules(self, model: Model, gone: float) -> dict[str, dict[str, Any]]:
        """By the name of a layer, what goes of its group so that a part of the whole one's ratio has gone."""
        rules: dict[str, dict[str, Any]] = {}
        if not self._ratios:
            return rules
        for group in find_groups(model.module):
            if group.name not in self._ratios:
                continue
            whole = self._groups[group.name]
            allowed = Allowed.of(whole, most=self._step.most, least=1, round_to=self._round_to)
            kept = allowed.nearest(whole.channels - math.floor(gone * self._ratios[group.name] * whole.channels + 0.5))
            ratio = max(1 - kept / group.channels, 0.0)
            for layer in {member.layer for member in group.members if member.side == "output"}:
                rules[glob.escape(layer)] = {"ratio": ratio}
        return rules


def _without_ratios(data: dict[str, Any]) -> dict[str, Any]:
    """The data of a step, of whose rules only those that skip groups are left."""
    data.pop("ratio", None)
    data.get("default", {}).pop("ratio", None)
    for key in ("operators", "layers"):
        for rule in data.get(key, {}).values():
            rule.pop("ratio", None)
        if key in data:
            data[key] = {pattern: rule for pattern, rule in data[key].items() if rule}
    return data
