"""Budgets are met with little error, and the smallest one is known."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgecompile.compress.lowrank.choices import Choice
from edgecompile.compress.lowrank.solve import Costs, smallest, solve

METHOD: Any = SimpleNamespace(name="svd")


def choice(params: int, error: float) -> Choice:
    return Choice(METHOD, (params,), params, 10 * params, error)


def costs_of(whole: float, layers: str) -> Costs:
    return Costs("params", whole, dict.fromkeys(layers, 100), lambda name, choice: choice.params)


def random_case(seed: int) -> tuple[Costs, dict[str, list[Choice]]]:
    """Three layers of 100 parameters with errors that fall with the rank, in a model of 400."""
    random = np.random.default_rng(seed)
    free = {}
    for name in "abc":
        errors = np.sort(random.random(5))[::-1] ** 3
        free[name] = [choice(20 * (index + 1) - 5, float(error)) for index, error in enumerate(errors)]
    return costs_of(400, "abc"), free


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.9, 0.6, 0.45])
def test_near_the_best_of_all_combinations(seed: int, share: float) -> None:
    costs, free = random_case(seed)
    chosen = solve(costs, {}, free, share)
    assert costs.share(chosen) <= share
    options = itertools.product(*([None, *some] for some in free.values()))
    combinations = [dict(zip(free, combination, strict=True)) for combination in options]
    error = {index: sum(one.error for one in each.values() if one) for index, each in enumerate(combinations)}
    best = min(error[index] for index, each in enumerate(combinations) if costs.share(each) <= share)
    found = sum(one.error for one in chosen.values() if one)
    worst_of_one_step = max(one.error for some in free.values() for one in some)
    assert best <= found + 1e-12 and found <= best + 0.5 * worst_of_one_step


def test_a_budget_of_everything_leaves_all_layers() -> None:
    costs, free = random_case(0)
    assert solve(costs, {}, free, 1.0) == {"a": None, "b": None, "c": None}


def test_the_smallest_budget_is_met_and_counts_what_is_fixed() -> None:
    costs, free = random_case(1)
    least = smallest(costs, {}, free)
    assert least == pytest.approx((100 + 3 * 15) / 400)
    assert costs.share(solve(costs, {}, free, least)) == pytest.approx(least)
    fixed = {"a": choice(50, 0.1)}
    rest = {name: free[name] for name in "bc"}
    assert smallest(costs, fixed, rest) == pytest.approx((100 + 50 + 30) / 400)
    assert solve(costs, fixed, rest, 0.9)["a"] is fixed["a"]


def test_what_saves_nothing_is_never_chosen() -> None:
    costs = costs_of(100, "a")
    assert smallest(costs, {}, {"a": [choice(120, 0.0)]}) == 1.0
    assert solve(costs, {}, {"a": [choice(120, 0.0), choice(60, 0.5)]}, 0.7)["a"] == choice(60, 0.5)
