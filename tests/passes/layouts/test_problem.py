"""The whole choice: against all ways of small random graphs, counted by another program."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from edgecompile.decision import Decision
from edgecompile.passes.layouts import PlanLayouts
from edgecompile.passes.layouts.blocked_tensors import is_reshape
from edgecompile.passes.layouts.problem import LayoutProblem, state_problem, why_not_plannable
from edgecompile.passes.layouts.registry import ways_of
from edgecompile.passes.layouts.search import minimize
from edgecompile.passes.layouts.tensor_shapes import image_shape
from edgecompile.passes.layouts.way import PLAIN, Way, plain_way
from schedules.cpu import CpuImplementations
from tests.passes.layouts.plans import FACTS, X, callees, check_numbers, conv
from tests.relax_models import make_model


@dataclass(frozen=True)
class Priced(CpuImplementations):
    """Conversions at another price."""

    per_element: float = 1.0

    def conversion_cycles(self, elements: int) -> float:
        return self.per_element * elements


def random_body(choices: Sequence[tuple[int, int, int]]) -> Any:
    """Each triple is an operator and which two of the tensors so far it reads; all tensors have the shape of X."""

    def body(builder: Any, x: Any) -> Any:
        known = [x]
        for operator, first, second in choices:
            a, b = known[first % len(known)], known[second % len(known)]
            makers = (
                lambda a=a: conv(a, 16, size=1),
                lambda a=a: relax.op.nn.relu(a),
                lambda a=a, b=b: relax.op.add(a, b),
                lambda a=a: relax.op.permute_dims(a, [0, 1, 3, 2]),
            )
            known.append(builder.emit(makers[operator]()))
        return [known[-1], known[len(known) // 2]]

    return body


def cost_of_ways(main: relax.Function, ways: Sequence[Way], implementations: Priced) -> float:
    """Cycles of the ways and of each conversion once; infinite where it would be from blocks to blocks."""
    writes = dict.fromkeys(main.params, PLAIN)
    converted: set[tuple[Any, int]] = set()
    cost = 0.0
    variables = [*(binding.var for binding in main.body.blocks[0].bindings), None]
    for variable, way in zip(variables, ways, strict=True):
        cost += way.cycles
        for read, layout in way.reads.items():
            if layout == writes[read]:
                continue
            if PLAIN not in (layout, writes[read]) or image_shape(read) is None:
                return math.inf
            shape = image_shape(read)
            assert shape is not None
            block = max(layout, writes[read])
            price = 1.0 if is_reshape(shape, block) else implementations.conversion_cycles(math.prod(shape))
            cost += price / len(way.reads) if way.joins else 0.0
            if (read, layout) not in converted:
                converted.add((read, layout))
                cost += price
        if variable is not None:
            writes[variable] = way.writes
    return cost


def best_cost(main: relax.Function, implementations: Priced) -> float:
    """The least cost of all combinations of ways."""
    options = [ways_of(binding.value, implementations) for binding in main.body.blocks[0].bindings]
    return min(
        cost_of_ways(main, ways, implementations) for ways in itertools.product(*options, [plain_way(main.body.body)])
    )


def chosen_ways(problem: LayoutProblem, parameters: int) -> list[Way]:
    choice = minimize(problem.costs, problem.edges)
    assert choice.is_exact
    values = [node.values[value] for node, value in zip(problem.nodes, choice.values, strict=True)]
    return [value.way for value in values[parameters:]]


CHOICES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=6)


@given(CHOICES, st.sampled_from([0.05, 1.0, 3.0, 40.0]))
@settings(max_examples=40, deadline=None)
def test_no_other_ways_are_cheaper(choices: list[tuple[int, int, int]], per_element: float) -> None:
    main = make_model((X,), random_body(choices), ()).module["main"]
    implementations = Priced(FACTS, per_element=per_element)
    ways = chosen_ways(state_problem(main, implementations), parameters=1)
    assert cost_of_ways(main, ways, implementations) == pytest.approx(best_cost(main, implementations), rel=1e-12)


@given(CHOICES)
@settings(max_examples=5, deadline=None)
def test_numbers_stay(choices: list[tuple[int, int, int]]) -> None:
    before = make_model((X,), random_body(choices), ()).module
    check_numbers(before, PlanLayouts(Priced(FACTS, per_element=0.05))(before, []))


def meeting(builder: Any, x: Any) -> Any:
    """In program order the sum goes on in blocks, for the convolution's sake; all that follows reads it plain."""
    y = builder.emit(conv(x, 16))
    z = builder.emit(relax.op.permute_dims(x, [0, 1, 3, 2]))
    total = builder.emit(relax.op.add(y, z))
    return relax.op.permute_dims(total, [0, 2, 3, 1])


def test_greed_would_convert_more() -> None:
    """Greedily: x, z and the sum are converted. Here: x and y."""
    before = make_model((X,), meeting, ()).module
    after = PlanLayouts(CpuImplementations(FACTS))(before, [])
    assert callees(after) == {"to_blocks": 1, "conv2d": 1, "from_blocks": 1, "permute_dims": 2, "add": 1}
    check_numbers(before, after)


def test_a_conversion_is_paid_once() -> None:
    def body(builder: Any, x: Any) -> Any:
        return [builder.emit(conv(x, 16, size=1)) for _ in range(3)]

    main = make_model((X,), body, ()).module["main"]
    problem = state_problem(main, Priced(FACTS, per_element=7.0))
    converted = [cost for cost in problem.costs[0] if cost > 0]
    assert converted == [7.0 * 16 * 81]


def test_equal_problems_have_equal_plans() -> None:
    def text() -> str:
        module = make_model((X,), meeting, ()).module
        return PlanLayouts(CpuImplementations(FACTS))(module, []).script(show_meta=False)

    assert text() == text()


def test_checks_at_run_time_are_refused() -> None:
    shape = relax.TensorType((1, 16, 9, 9), "float32")
    builder, x = relax.BlockBuilder(), relax.Var("x", shape)
    with builder.function("main", [x]):
        with builder.dataflow():
            output = builder.emit_output(relax.op.nn.relu(builder.match_cast(x, shape)))
        builder.emit_func_output(output)
    module = builder.get()
    assert why_not_plannable(module["main"]) == "shapes are checked at run time"
    decisions: list[Decision] = []
    assert PlanLayouts(CpuImplementations(FACTS))(module, decisions).same_as(module)
    assert decisions == [Decision("PlanLayouts", "main", False, "shapes are checked at run time")]
