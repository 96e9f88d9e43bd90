"""`solve`: choices of all layers to the ones that meet a budget with the least error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from edgecompile.compress.lowrank.choices import Choice

Chosen: TypeAlias = "Mapping[str, Choice | None]"
"""By layer; None leaves it as it is."""


@dataclass(frozen=True)
class Costs:
    """What the model takes before, and what choices take, in one unit.

    Attributes:
        what: the budget's name in a recipe.
        whole: of all layers, whether they can be factorised or not.
        layers: of each that can.
        price: of a layer's choice.
    """

    what: str
    whole: float
    layers: Mapping[str, float]
    price: Callable[[str, Choice], float]

    def share(self, chosen: Chosen) -> float:
        """What is left with these choices."""
        saved = sum(self.layers[name] - self.price(name, choice) for name, choice in chosen.items() if choice)
        return (self.whole - saved) / max(self.whole, 1e-12)


@dataclass(frozen=True)
class _Step:
    layer: str
    choice: Choice
    price: float  # error by cost saved


def smallest(costs: Costs, fixed: Chosen, free: Mapping[str, Sequence[Choice]]) -> float:
    """The least share that any choices leave."""
    return costs.share({**fixed, **{name: _cheapest(costs, name, some) for name, some in free.items()}})


def solve(costs: Costs, fixed: Chosen, free: Mapping[str, Sequence[Choice]], share: float) -> Chosen:
    """Make layers cheaper, each time where a saved unit costs the least error, until the budget is met.

    Each layer goes down the lower convex hull of its choices, so that prices rise, and all layers end at about the same
    price: what a Lagrange multiplier would find. What is left of the budget after the last step then goes to the layers
    whose error it lowers the most.

    Args:
        fixed: layers that the budget does not choose for.
        free: the choices of each other layer.
        share: what may be left of `costs.whole`; not below `smallest`.
    """
    chosen: dict[str, Choice | None] = {**fixed, **dict.fromkeys(free)}
    steps = sorted(
        (step for name, some in free.items() for step in _hull(costs, name, some)),
        key=lambda step: (step.price, step.layer),
    )
    for step in steps:
        if costs.share(chosen) <= share:
            break
        chosen[step.layer] = step.choice
    _spend_rest(costs, chosen, free, share)
    return chosen


def _cheapest(costs: Costs, name: str, choices: Sequence[Choice]) -> Choice | None:
    best = min(choices, key=lambda choice: (costs.price(name, choice), choice.error), default=None)
    return best if best is not None and costs.price(name, best) < costs.layers[name] else None


def _hull(costs: Costs, name: str, choices: Sequence[Choice]) -> Iterator[_Step]:
    """From the layer as it is down to its cheapest choice, by rising price."""
    cost, error = costs.layers[name], 0.0
    priced = [(costs.price(name, choice), choice) for choice in choices]
    while True:
        cheaper = [
            (max(choice.error - error, 0.0) / (cost - lower), lower, choice) for lower, choice in priced if lower < cost
        ]
        if not cheaper:
            return
        price, cost, best = min(cheaper, key=lambda entry: entry[:2])
        error = best.error
        yield _Step(name, best, price)


def _spend_rest(
    costs: Costs, chosen: dict[str, Choice | None], free: Mapping[str, Sequence[Choice]], share: float
) -> None:
    """Give layers back what the last step saved too much."""
    rest = share * costs.whole - costs.share(chosen) * costs.whole
    while True:
        best: tuple[float, str, Choice | None, float] | None = None
        for name, some in free.items():
            present = chosen[name]
            if present is None:
                continue
            for candidate in (None, *some):
                gain = present.error - (candidate.error if candidate else 0.0)
                cost = costs.price(name, candidate) if candidate else costs.layers[name]
                more = cost - costs.price(name, present)
                if gain > 0 and more <= rest and (not best or gain > best[0]):
                    best = (gain, name, candidate, more)
        if best is None:
            return
        chosen[best[1]] = best[2]
        rest -= best[3]
