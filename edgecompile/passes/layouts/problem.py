"""`main` as nodes with values and edges with costs, for the search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tvm import relax

from edgecompile.implementation import Implementations
from edgecompile.passes.layouts.blocked_tensors import is_reshape
from edgecompile.passes.layouts.known_weights import with_stored_weights
from edgecompile.passes.layouts.registry import ways_of
from edgecompile.passes.layouts.remembered_implementations import RememberedImplementations
from edgecompile.passes.layouts.tensor_shapes import blockable_shape
from edgecompile.passes.layouts.way import PLAIN, Layout, Way, plain_way
from edgecompile.storage.operators import is_decode

_VIEW_CYCLES = 1.0  # a reshape moves nothing, but no kernel joins another across it


@dataclass(frozen=True)
class Value:
    """What a node can be.

    Attributes:
        way: how it is computed.
        copies: the other layouts into which its result is converted.
    """

    way: Way
    copies: frozenset[Layout]


@dataclass(frozen=True)
class Node:
    """A parameter of `main`, a binding, or the result.

    Attributes:
        name: of its variable.
        variable: that holds it; None for the result.
        values: what it can be; of equally cheap ones the first is preferred.
    """

    name: str
    variable: relax.Var | None
    values: tuple[Value, ...]


@dataclass(frozen=True)
class LayoutProblem:
    """What `minimize` takes.

    Attributes:
        nodes: the parameters, the bindings in order, and the result.
        costs: in cycles, of each value of each node.
        edges: (producer, reader) -> `[values of the producer, values of the reader]`, in cycles.
    """

    nodes: tuple[Node, ...]
    costs: Sequence[Sequence[float]]
    edges: Mapping[tuple[int, int], np.ndarray]

    @property
    def has_choice(self) -> bool:
        """True where some node can be computed in more than one way."""
        return any(len({id(value.way) for value in node.values}) > 1 for node in self.nodes)


def why_not_plannable(main: relax.Function) -> str | None:
    """The reason why `main` is no straight list of dataflow bindings, or None."""
    if not isinstance(main.body, relax.SeqExpr):
        return "main is no list of bindings"
    if len(main.body.blocks) != 1 or not isinstance(main.body.blocks[0], relax.DataflowBlock):
        return "main has more than one block of dataflow"
    if not all(isinstance(binding, relax.VarBinding) for binding in main.body.blocks[0].bindings):
        return "shapes are checked at run time"
    return None


def state_problem(main: relax.Function, implementations: Implementations) -> LayoutProblem:
    """All ways of all bindings, and what they cost together."""
    remembered = RememberedImplementations(implementations)
    bindings = main.body.blocks[0].bindings
    variables = [*main.params, *(binding.var for binding in bindings)]
    ways = [[_given(parameter)] for parameter in main.params]
    stored = {binding.var: binding.value for binding in bindings if is_decode(binding.value)}
    values = [with_stored_weights(binding.value, stored) for binding in bindings]
    ways += [_cheapest(ways_of(value, remembered)) for value in values]
    result = plain_way(main.body.body)
    wanted: dict[relax.Var, set[Layout]] = {variable: set() for variable in variables}
    for way in (*itertools.chain.from_iterable(ways), result):
        for variable, layout in way.reads.items():
            wanted[variable].add(layout)
    nodes = [
        Node(variable.name, variable, tuple(_values(options, _copyable(variable, wanted[variable]))))
        for variable, options in zip(variables, ways, strict=True)
    ]
    nodes.append(Node("result", None, (Value(result, frozenset()),)))
    costs = [[_cost(node.variable, value, remembered) for value in node.values] for node in nodes]
    return LayoutProblem(tuple(nodes), costs, _edges(nodes, remembered))


def _given(parameter: relax.Var) -> Way:
    return Way(reads={}, writes=PLAIN, cycles=0.0, build=lambda workshop: parameter)


def _cheapest(ways: Iterable[Way]) -> list[Way]:
    """Of ways that read and write the same layouts the cheapest."""
    best: dict[tuple[frozenset[tuple[relax.Var, Layout]], Layout], Way] = {}
    for way in ways:
        key = frozenset(way.reads.items()), way.writes
        if key not in best or way.cycles < best[key].cycles:
            best[key] = way
    return list(best.values())


def _copyable(variable: relax.Var, wanted: set[Layout]) -> set[Layout]:
    """The layouts into which the variable may be converted: those of tuples stay."""
    return set() if blockable_shape(variable) is None else wanted


def _values(ways: Iterable[Way], wanted: set[Layout]) -> Iterable[Value]:
    """Each way with each set of conversions that readers may want; from blocks to other blocks there is none."""
    for way in ways:
        others = sorted(layout for layout in wanted - {way.writes} if PLAIN in (layout, way.writes))
        for count in range(len(others) + 1):
            for copies in itertools.combinations(others, count):
                yield Value(way, frozenset(copies))


def _cost(variable: relax.Var | None, value: Value, implementations: Implementations) -> float:
    """Of computing the value and of converting it."""
    cost = value.way.cycles
    if variable is not None:
        for copy in value.copies:
            cost += _conversion_cycles(variable, copy or value.way.writes, implementations)
    return cost


def _conversion_cycles(variable: relax.Var, block: int, implementations: Implementations) -> float:
    """What it takes to convert a tensor between plain and blocks, either way."""
    shape = blockable_shape(variable)
    assert shape is not None
    return _VIEW_CYCLES if is_reshape(shape, block) else implementations.conversion_cycles(math.prod(shape))


def _edges(nodes: Sequence[Node], implementations: Implementations) -> dict[tuple[int, int], np.ndarray]:
    """What the layouts of a producer cost each of its readers."""
    index = {node.variable: position for position, node in enumerate(nodes) if node.variable is not None}
    edges = {}
    for reader, node in enumerate(nodes):
        for variable in node.values[0].way.reads:
            producer = index[variable]
            costs = [
                [_reading_cost(variable, source, value.way, implementations) for value in node.values]
                for source in nodes[producer].values
            ]
            edges[producer, reader] = np.array(costs)
    return edges


def _reading_cost(variable: relax.Var, source: Value, reader: Way, implementations: Implementations) -> float:
    """Infinite where the source is not there in the layout that the reader needs.

    An operator that would join the kernel of a source needs a pass of its own where all that it reads are converted
    copies; each of them takes its share of that.
    """
    layout = reader.reads[variable]
    if layout == source.way.writes:
        return 0.0
    if layout not in source.copies:
        return math.inf
    if not reader.joins:
        return 0.0
    return _conversion_cycles(variable, layout or source.way.writes, implementations) / len(reader.reads)
