"""What the planner of layouts estimates of a module, for targets that cannot be timed here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from typing import TYPE_CHECKING

from edgecompile.family import family_of
from edgecompile.layers import layer_of
from edgecompile.passes.layouts import PlanLayouts
from edgecompile.passes.pipeline import LAYOUTS, lower
from edgecompile.target import Target

if TYPE_CHECKING:
    import tvm


def estimated_cycles(module: tvm.IRModule, target: Target, layers: Container[str]) -> dict[str, float]:
    """Cycles of one core for each value of `main` that costs any, by the layer, or the variable, that it belongs to.

    Convolutions, products and poolings are counted as their templates count them, and so are conversions between
    layouts; elementwise operators, the borders' conversions to and from int8 among them, count as free, since they join
    other kernels. Empty where the planner refuses the module.
    """
    from edgecompile.passes.layouts.problem import state_problem, why_not_plannable
    from edgecompile.passes.layouts.search import minimize

    family = family_of(target)
    phases = list(family.phases(target))
    position = next(index for index, phase in enumerate(phases) if phase.name == LAYOUTS)
    main = lower(module, phases[:position], family.tvm_target(target)).module["main"]
    if why_not_plannable(main) is not None:
        return {}
    implementations = next(step for step in phases[position].passes if isinstance(step, PlanLayouts)).implementations
    problem = state_problem(main, implementations)
    values = minimize(problem.costs, problem.edges).values
    cycles: dict[str, float] = defaultdict(float)
    for node, costs, value in zip(problem.nodes, problem.costs, values, strict=True):
        cycles[layer_of(node.name, layers) or node.name] += costs[value]
    for (producer, reader), matrix in problem.edges.items():
        name = problem.nodes[reader].name
        cycles[layer_of(name, layers) or name] += float(matrix[values[producer], values[reader]])
    return {name: count for name, count in cycles.items() if count > 0}
