"""`choices_of`: what one layer could become, with its size, work and error."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgecompile.compress.lowrank.layers import WeightedLayer
from edgecompile.compress.lowrank.methods import methods_for
from edgecompile.compress.lowrank.methods.method import Method, Ranks
from edgecompile.compress.lowrank.problem import Problem
from edgecompile.compress.lowrank.recipe import LayerRule

CostName = Literal["params", "macs"]

_CP_RANKS = 5  # that are tried for a budget, where each takes a decomposition


@dataclass(frozen=True)
class Choice:
    """One layer factorised one way.

    Attributes:
        method: that makes the factors.
        ranks: of them.
        params: elements of their weights.
        macs: multiply-accumulates of one inference.
        error: of the layer's results, by their squares; an estimate, see `Method.error`.
        is_asked: True where the recipe names the ranks, so that they count although they save nothing.
    """

    method: Method
    ranks: Ranks
    params: int
    macs: int
    error: float
    is_asked: bool = False

    @property
    def name(self) -> str:
        """Such as "tucker 32x48"."""
        return f"{self.method.name} {'x'.join(map(str, self.ranks))}"

    def cost(self, what: CostName) -> int:
        """In parameters or multiply-accumulates."""
        return self.params if what == "params" else self.macs


def choices_of(layer: WeightedLayer, rule: LayerRule, problem: Problem, lanes: int) -> list[Choice]:
    """What the rule allows: one for each method where it says how far, else one for each rank that may pay.

    Args:
        lanes: float32 numbers of a vector register; ranks are multiples of it, since the kernels compute no fewer
            channels. Ranks that the recipe names stay as they are.
    """
    found = []
    for kind in methods_for(rule.method, layer.shape):
        method = kind(problem)
        ranks = (
            [kind.trimmed(layer.shape, _asked(method, rule, lanes))] if rule.has_rank else _worth_trying(method, lanes)
        )
        found += [_choice(method, each, is_asked=rule.ratio is not None or _is_number(rule)) for each in ranks]
    return found


def _choice(method: Method, ranks: Ranks, *, is_asked: bool) -> Choice:
    shape = method.problem.shape
    return Choice(method, ranks, method.params(shape, ranks), method.macs(shape, ranks), method.error(ranks), is_asked)


def _is_number(rule: LayerRule) -> bool:
    return rule.rank is not None and rule.rank != "vbmf"


def _asked(method: Method, rule: LayerRule, lanes: int) -> Ranks:
    highest = method.highest(method.problem.shape)
    if isinstance(rule.rank, int):
        return (rule.rank,) * len(highest)
    if isinstance(rule.rank, list):
        return tuple(rule.rank)
    if rule.ratio is not None:
        return tuple(max(1, round(rule.ratio * most)) for most in highest)
    ranks = method.ranks_by_vbmf() if rule.rank == "vbmf" else method.ranks_by_energy(rule.energy or 1.0)
    return tuple(min(-(-rank // lanes) * lanes, most) for rank, most in zip(ranks, highest, strict=True))


def _worth_trying(method: Method, lanes: int) -> list[Ranks]:
    """All multiples of the lanes that save parameters and work."""
    shape = method.problem.shape
    steps = [[*range(lanes, most, lanes), most] for most in method.highest(shape)]
    saving = [
        ranks
        for ranks in itertools.product(*steps)
        if method.trimmed(shape, ranks) == ranks
        and method.params(shape, ranks) < shape.params
        and method.macs(shape, ranks) < shape.macs
    ]
    return list(_some(saving)) if method.name == "cp" else saving


def _some(ranks: list[Ranks]) -> Iterator[Ranks]:
    """The highest, half of it, and so on."""
    last = len(ranks)
    for _ in range(_CP_RANKS):
        if last < 1:
            return
        yield ranks[last - 1]
        last //= 2
