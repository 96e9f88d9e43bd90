"""The search is exact: against all choices of small problems, and fast on long ones."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompile.passes.layouts.search import Choice, minimize

Edges = Mapping[tuple[int, int], np.ndarray]


def cost_of(values: Sequence[int], costs: Sequence[Sequence[float]], edges: Edges) -> float:
    nodes = sum(costs[node][value] for node, value in enumerate(values))
    return nodes + sum(float(matrix[values[u], values[v]]) for (u, v), matrix in edges.items())


def brute_force(costs: Sequence[Sequence[float]], edges: Edges) -> float:
    choices = itertools.product(*(range(len(vector)) for vector in costs))
    return min(cost_of(values, costs, edges) for values in choices)


NUMBERS = st.one_of(st.integers(0, 20).map(float), st.just(math.inf))


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[list[float]], dict[tuple[int, int], np.ndarray]]:
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=7))
    costs = [draw(st.lists(NUMBERS, min_size=size, max_size=size)) for size in sizes]
    pairs = list(itertools.combinations(range(len(sizes)), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    edges = {}
    for u, v in chosen:
        cells = draw(st.lists(NUMBERS, min_size=sizes[u] * sizes[v], max_size=sizes[u] * sizes[v]))
        edges[v, u] = np.array(cells).reshape(sizes[v], sizes[u])
    return costs, edges


@given(problems())
@settings(max_examples=400, deadline=None)
def test_no_choice_is_cheaper(problem: tuple[list[list[float]], dict[tuple[int, int], np.ndarray]]) -> None:
    costs, edges = problem
    best = brute_force(costs, edges)
    if best == math.inf:
        with pytest.raises(ValueError, match="every choice is forbidden"):
            minimize(costs, edges)
        return
    choice = minimize(costs, edges)
    assert choice.is_exact
    assert cost_of(choice.values, costs, edges) == best
    hasty = minimize(costs, edges, most_visits=0) if not _is_forbidding(costs, edges) else choice
    assert cost_of(hasty.values, costs, edges) >= best
    assert not hasty.is_exact or cost_of(hasty.values, costs, edges) == best


def _is_forbidding(costs: Sequence[Sequence[float]], edges: Edges) -> bool:
    """True where a guess can run into a forbidden pair."""
    return any(math.inf in vector for vector in costs) or any(np.isinf(matrix).any() for matrix in edges.values())


def random_problem(
    nodes: int, pairs: Sequence[tuple[int, int]], seed: int
) -> tuple[list[list[float]], dict[tuple[int, int], np.ndarray]]:
    random = np.random.default_rng(seed)
    costs = random.integers(0, 1000, (nodes, 4)).astype(float).tolist()
    return costs, {pair: random.integers(0, 1000, (4, 4)).astype(float) for pair in pairs}


def chain_cost(costs: Sequence[Sequence[float]], edges: Edges) -> float:
    """The least cost of a chain, by dynamic programming."""
    best = np.array(costs[0])
    for node in range(1, len(costs)):
        best = (best[:, None] + edges[node - 1, node]).min(axis=0) + costs[node]
    return float(best.min())


def test_a_long_chain() -> None:
    pairs = [(node, node + 1) for node in range(9_999)]
    costs, edges = random_problem(10_000, pairs, 0)
    choice = minimize(costs, edges)
    assert choice.is_exact
    assert cost_of(choice.values, costs, edges) == chain_cost(costs, edges)


def residual_pairs(blocks: int) -> list[tuple[int, int]]:
    """Blocks of three nodes whose result is added to their input: series-parallel."""
    return [
        pair
        for start in range(0, 3 * blocks, 3)
        for pair in ((start, start + 1), (start + 1, start + 2), (start + 2, start + 3), (start, start + 3))
    ]


def test_residual_blocks_take_time_in_proportion() -> None:
    few = minimize(*random_problem(31, residual_pairs(10), 1))
    assert few.is_exact
    seconds = []
    for blocks in (300, 3000):
        problem = random_problem(3 * blocks + 1, residual_pairs(blocks), 2)
        start = time.process_time()
        assert minimize(*problem, most_visits=0).is_exact  # nothing is left to branch over
        seconds.append(time.process_time() - start)
    assert seconds[1] < 40 * seconds[0]


def test_dense_blocks_are_bounded() -> None:
    """Every node has all earlier ones as neighbours: no elimination helps, and the limit holds."""
    pairs = list(itertools.combinations(range(40), 2))
    costs, edges = random_problem(40, pairs, 3)
    choice = minimize(costs, edges, most_visits=2_000)
    assert not choice.is_exact
    assert choice == minimize(costs, edges, most_visits=2_000)
    average = np.mean([cost_of(np.random.default_rng(s).integers(0, 4, 40).tolist(), costs, edges) for s in range(50)])
    assert cost_of(choice.values, costs, edges) < average


def test_parts_are_searched_apart() -> None:
    """Twelve cliques of five together have 4^60 choices; each alone has few."""
    pairs = [(5 * clique + u, 5 * clique + v) for clique in range(12) for u, v in itertools.combinations(range(5), 2)]
    costs, edges = random_problem(60, pairs, 4)
    choice = minimize(costs, edges)
    assert choice.is_exact
    for clique in range(12):
        nodes = range(5 * clique, 5 * clique + 5)
        part = {(u % 5, v % 5): matrix for (u, v), matrix in edges.items() if u in nodes}
        own = [costs[node] for node in nodes]
        assert cost_of([choice.values[node] for node in nodes], own, part) == brute_force(own, part)


def test_equal_costs_take_the_first_value() -> None:
    assert minimize([[1.0, 1.0], [0.0, 0.0, 0.0]], {(0, 1): np.zeros((2, 3))}) == Choice((0, 0), True)


def test_no_nodes() -> None:
    assert minimize([], {}) == Choice((), True)
