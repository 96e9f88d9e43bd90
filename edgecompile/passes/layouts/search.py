"""The cheapest choice of one value per node, where nodes have costs and so do pairs of neighbours.

    minimise  sum over nodes u of cost[u][x_u]  +  sum over edges (u, v) of matrix[u, v][x_u, x_v]

An infinite entry forbids a value or a pair. Nodes with one value or at most two neighbours are eliminated exactly,
which solves every series-parallel graph, chains and residual networks among them, in linear time. What is left is
solved by branch and bound over the values of its busiest nodes; where that would take too long, those nodes take the
value that looks best locally, and the answer says that it may not be the best.

Source: Anderson and Gregg, "Optimal DNN primitive selection with partitioned boolean quadratic programming", CGO 2018;
the reductions are those of Scholz and Eckstein, "Register allocation for irregular architectures", LCTES 2002.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MOST_VISITS = 20_000  # nodes of all branches together: about a second
_MOST_DEPTH = 100  # branchings inside one another, far from Python's limit of recursion


@dataclass(frozen=True)
class Choice:
    """An answer.

    Attributes:
        values: one per node, by its position in the node's costs.
        is_exact: True where no other choice can be cheaper.
    """

    values: tuple[int, ...]
    is_exact: bool


def minimize(
    costs: Sequence[Sequence[float]],
    edges: Mapping[tuple[int, int], np.ndarray],
    most_visits: int = MOST_VISITS,
) -> Choice:
    """The cheapest choice; of equally cheap ones always the same.

    Args:
        costs: for each node the cost of each of its values.
        edges: for pairs (u, v), u != v, each pair in one order only: `[values of u, values of v]`.
        most_visits: how many nodes branches may visit before the search turns heuristic.

    Raises:
        ValueError: every choice is forbidden, or the search was cut short before it found another.
    """
    graph = _Graph()
    for node, vector in enumerate(costs):
        graph.costs[node] = np.asarray(vector, np.float64)
        graph.labels[node] = np.arange(len(vector))
        graph.links[node] = {}
    for (u, v), matrix in edges.items():
        graph.link(u, v, np.asarray(matrix, np.float64))
    search = _Search(most_visits)
    history = search.solve(graph, list(graph.costs), math.inf, 0)
    if history is None:
        raise ValueError("every choice is forbidden")
    values: dict[int, int] = {}
    for step in reversed(history.steps):
        values[step.node] = step.choose(values)
    return Choice(tuple(values[node] for node in range(len(costs))), search.is_exact)


@dataclass(frozen=True)
class _Step:
    """An eliminated node, and what its best value depends on.

    Attributes:
        labels: the values that it still had, by their position in the problem.
        costs: of those values.
        links: of each neighbour at that time its values and the matrix `[values here, values there]`.
    """

    node: int
    labels: np.ndarray
    costs: np.ndarray
    links: tuple[tuple[int, np.ndarray, np.ndarray], ...] = ()

    def choose(self, values: Mapping[int, int]) -> int:
        total = self.costs
        for neighbour, labels, matrix in self.links:
            total = total + matrix[:, int(np.searchsorted(labels, values[neighbour]))]
        return int(self.labels[int(np.argmin(total))])


@dataclass
class _History:
    """How a graph was eliminated, and the cost of the best choice in it."""

    steps: list[_Step]
    cost: float


class _Graph:
    """What is left of the problem. Arrays are replaced, never written to, so that copies share them."""

    def __init__(self) -> None:
        self.costs: dict[int, np.ndarray] = {}
        self.labels: dict[int, np.ndarray] = {}
        self.links: dict[int, dict[int, np.ndarray]] = {}
        self.done = 0.0  # what the eliminated nodes cost

    def copy(self) -> _Graph:
        other = _Graph()
        other.costs, other.labels, other.done = dict(self.costs), dict(self.labels), self.done
        other.links = {node: dict(links) for node, links in self.links.items()}
        return other

    @property
    def bound(self) -> float:
        """No choice costs less: matrices have no negative entries once `link` has normalised them."""
        return self.done + sum(float(vector.min()) for vector in self.costs.values())

    def link(self, u: int, v: int, matrix: np.ndarray) -> None:
        """Add costs of pairs. What depends on one end only moves to that end; an edge of zeros goes."""
        known = self.links[u].get(v)
        if known is not None:
            matrix = matrix + known
        matrix, rows = _without_minima(matrix)
        matrix, columns = _without_minima(matrix.T)
        self.costs[u] = self.costs[u] + rows
        self.costs[v] = self.costs[v] + columns
        if matrix.any():
            self.links[v][u] = matrix
            self.links[u][v] = matrix.T
        elif known is not None:
            del self.links[u][v], self.links[v][u]

    def keep(self, node: int, alive: np.ndarray) -> None:
        """Drop the values of a node that are not alive."""
        self.costs[node] = self.costs[node][alive]
        self.labels[node] = self.labels[node][alive]
        for neighbour, matrix in self.links[node].items():
            self.links[node][neighbour] = matrix[alive]
            self.links[neighbour][node] = matrix[alive].T

    def reduce(self, pending: list[int], steps: list[_Step]) -> bool:
        """Eliminate what can be without a guess, beginning at the pending nodes; False when nothing is allowed."""
        while pending:
            node = pending.pop()
            if node not in self.costs:
                continue
            alive = np.isfinite(self.costs[node])
            if not alive.all():
                if not alive.any():
                    return False
                self.keep(node, alive)
                pending.extend(self.links[node])
            if len(self.costs[node]) > 1 and len(self.links[node]) > 2:
                continue
            pending.extend(self.links[node])
            steps.append(self._eliminate(node))
        return True

    def _eliminate(self, node: int) -> _Step:
        """Fold a node that has one value or at most two neighbours into its neighbours."""
        vector, labels, links = self.costs.pop(node), self.labels.pop(node), self.links.pop(node)
        for neighbour in links:
            del self.links[neighbour][node]
        if len(vector) == 1:
            self.done += float(vector[0])
            for neighbour, matrix in links.items():
                self.costs[neighbour] = self.costs[neighbour] + matrix[0]
            return _Step(node, labels, vector)
        sides = tuple((neighbour, self.labels[neighbour], matrix) for neighbour, matrix in links.items())
        if not sides:
            self.done += float(vector.min())
        elif len(sides) == 1:
            ((neighbour, _, matrix),) = sides
            self.costs[neighbour] = self.costs[neighbour] + (vector[:, None] + matrix).min(axis=0)
        else:
            (first, _, one), (second, _, other) = sides
            best = (vector[:, None, None] + one[:, :, None] + other[:, None, :]).min(axis=0)
            self.link(first, second, best)
        return _Step(node, labels, vector, sides)

    def parts(self) -> list[list[int]]:
        """The nodes of each connected part, each in ascending order."""
        seen: set[int] = set()
        found = []
        for start in sorted(self.costs):
            if start in seen:
                continue
            seen.add(start)
            part, pending = [], [start]
            while pending:
                node = pending.pop()
                part.append(node)
                fresh = [neighbour for neighbour in self.links[node] if neighbour not in seen]
                seen.update(fresh)
                pending.extend(fresh)
            found.append(sorted(part))
        return found

    def part(self, nodes: Sequence[int]) -> _Graph:
        """A copy of these nodes alone, at no cost so far."""
        other = _Graph()
        for node in nodes:
            other.costs[node], other.labels[node] = self.costs[node], self.labels[node]
            other.links[node] = dict(self.links[node])
        return other

    def promise(self, node: int) -> np.ndarray:
        """For each value of a node the least that it and its neighbours can cost."""
        total = self.costs[node]
        for neighbour, matrix in self.links[node].items():
            total = total + (matrix + self.costs[neighbour]).min(axis=1)
        return total


@dataclass
class _Search:
    """Branch and bound over what cannot be eliminated."""

    visits_left: int
    is_exact: bool = True

    def solve(self, graph: _Graph, pending: list[int], bound: float, depth: int) -> _History | None:
        """The best choice; None where none is below the bound. The graph is used up."""
        steps: list[_Step] = []
        if not graph.reduce(pending, steps) or not graph.bound < bound:
            return None
        parts = [graph.part(nodes) for nodes in graph.parts()]
        cost, rest = graph.done, sum(part.bound for part in parts)
        for part in parts:
            rest -= part.bound
            found = self._solve_part(part, bound - cost - rest, depth)
            if found is None:
                return None
            steps.extend(found.steps)
            cost += found.cost
        return _History(steps, cost)

    def _solve_part(self, graph: _Graph, bound: float, depth: int) -> _History | None:
        if self.visits_left <= 0 or depth >= _MOST_DEPTH:
            self.is_exact = False
            return _guess(graph)
        node = max(graph.costs, key=lambda node: (len(graph.links[node]), -node))
        best: _History | None = None
        for value in np.argsort(graph.promise(node), kind="stable"):
            if best is not None and self.visits_left <= 0:
                self.is_exact = False
                break
            branch = graph.copy()
            branch.keep(node, np.arange(len(graph.costs[node])) == value)
            self.visits_left -= len(graph.costs)
            found = self.solve(branch, [node], bound, depth + 1)
            if found is not None and found.cost < bound:
                best, bound = found, found.cost
        return best


def _guess(graph: _Graph) -> _History | None:
    """Fix the busiest node at what looks best from its neighbours, until nothing is left."""
    steps: list[_Step] = []
    heap = [(-len(links), node) for node, links in graph.links.items()]
    heapq.heapify(heap)
    while heap:
        degree, node = heapq.heappop(heap)
        if node not in graph.costs:
            continue
        if -degree > len(graph.links[node]):  # it was eased in the meantime
            heapq.heappush(heap, (-len(graph.links[node]), node))
            continue
        graph.keep(node, np.arange(len(graph.costs[node])) == int(np.argmin(graph.promise(node))))
        if not graph.reduce([node], steps):
            return None
    return _History(steps, graph.done)


def _without_minima(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[rows, columns]` less the minimum of each row, and the minima; a row that is all forbidden becomes zeros."""
    minima = matrix.min(axis=1)
    if not minima.any():
        return matrix, minima
    finite = np.isfinite(minima)
    rest = np.where(finite[:, None], matrix - np.where(finite, minima, 0.0)[:, None], 0.0)
    return rest, minima
