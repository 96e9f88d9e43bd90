"""Lay tensors out for the target's kernels, over the whole graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision
from edgecompile.implementation import Implementations

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True)
class PlanLayouts:
    """Give convolutions blocked tensors and packed weights, and let everything between them work on blocked tensors.

        conv2d(x, w)   ->   conv2d_direct(x', w'),   x' = [N, C/b, H, W, b],   w' packed at compile time

    Each operator has one or more ways to be computed, each with the layouts that it reads and writes and its price;
    chosen is the cheapest set of ways for the whole graph, conversions between layouts counted. A tensor is converted
    at most once each way.
    """

    implementations: Implementations
    name: str = "PlanLayouts"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        from edgecompile.passes.layouts.problem import state_problem, why_not_plannable
        from edgecompile.passes.layouts.rewriter import rewrite
        from edgecompile.passes.layouts.search import minimize

        main = module["main"]
        reason = why_not_plannable(main)
        if reason is not None:
            decisions.append(Decision(self.name, "main", False, reason))
            return module
        problem = state_problem(main, self.implementations)
        choice = minimize(problem.costs, problem.edges)
        values = [node.values[value] for node, value in zip(problem.nodes, choice.values, strict=True)]
        for node, value in zip(problem.nodes, values, strict=True):
            if value.way.reason:
                decisions.append(Decision(self.name, node.name, value.way.is_kept, value.way.reason))
        rewritten = rewrite(module, [value.way for value in values])
        if problem.has_choice:
            blocked = sum(value.way.writes > 0 for value in values)
            exact = "no plan is cheaper by these estimates" if choice.is_exact else "the search was cut short"
            reason = f"{blocked} tensors in blocks, {rewritten.conversions} conversions; {exact}"
            decisions.append(Decision(self.name, "main", blocked > 0, reason))
        return rewritten.module
