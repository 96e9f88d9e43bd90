"""`choose`: what each layer becomes, by the recipe's rules and its budget."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from edgecompile.compress.lowrank.choices import Choice, CostName
from edgecompile.compress.lowrank.prepare import Prepared
from edgecompile.compress.lowrank.solve import Chosen, Costs, smallest, solve
from edgecompile.errors import InvalidRecipeError

Banned = Collection[tuple[str, str]]
"""Layers and the names of choices that were measured and do not pay."""


def choose(ready: Prepared, costs: Costs, share: float | None, banned: Banned = ()) -> Chosen:
    """The choice of each layer that can be factorised.

    A layer whose rule or file of sensitivities says how far gets the choice of the fewest multiply-accumulates, if they
    are fewer than before or the rule names the rank itself. The others share the budget; without one they stay.

    Args:
        costs: what the budget is of.
        share: of the budget; None without one.

    Raises:
        InvalidRecipeError: the budget cannot be met.
    """
    fixed, free = _parts(ready, banned)
    if share is None:
        return {**fixed, **dict.fromkeys(free)}
    least = smallest(costs, fixed, free)
    if least > share:
        without = ", without what was measured to be no faster" if banned else ""
        raise InvalidRecipeError(
            f"the budget {costs.what}={share:g} cannot be met: the smallest reachable is {_rounded_up(least)}{without}"
        )
    return solve(costs, fixed, free, share)


def least_share(ready: Prepared, costs: Costs, banned: Banned = ()) -> float:
    """The smallest budget that can be met."""
    return smallest(costs, *_parts(ready, banned))


def _parts(ready: Prepared, banned: Banned) -> tuple[dict[str, Choice | None], dict[str, Sequence[Choice]]]:
    rules = {found.layer.name: found for found in ready.layers}
    fixed: dict[str, Choice | None] = {}
    free: dict[str, Sequence[Choice]] = {}
    for name, choices in ready.choices.items():
        allowed = [choice for choice in choices if (name, choice.name) not in banned]
        if ready.decides(rules[name]):
            saving = [one for one in allowed if one.is_asked or one.macs < rules[name].layer.shape.macs]
            fixed[name] = min(saving, key=lambda one: (one.macs, one.error), default=None)
        else:
            free[name] = allowed
    return fixed, free


def why_left(ready: Prepared, name: str) -> str:
    """Why a layer that can be factorised stays as it is, without any measurement."""
    found = next(each for each in ready.layers if each.layer.name == name)
    share = ready.tolerated.get(name)
    if share is not None:
        few = f"no rank that is left has at most {share:g} of its parameters"
        return few if share < 1 else "it loses more than the drop allows at each share that was measured"
    if not found.rule.has_rank:
        return "the budget is met with less error by other layers" if ready.choices[name] else "no rank saves anything"
    shape = found.layer.shape
    tried = ", ".join(f"{one.name} has {one.macs / shape.macs:.2f} of the MACs" for one in ready.choices[name])
    return f"what the rule asks for saves nothing: {tried}"


def totals(ready: Prepared, chosen: Chosen) -> Mapping[CostName, float]:
    """What is left of the parameters and multiply-accumulates of the whole model."""
    return {"params": ready.costs("params").share(chosen), "macs": ready.costs("macs").share(chosen)}


def _rounded_up(share: float) -> float:
    """To three digits, so that asking for what a message names succeeds."""
    return -(-share * 1000 // 1) / 1000 if share < 1 else 1.0
