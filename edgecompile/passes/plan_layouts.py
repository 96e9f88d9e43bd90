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

    A tensor is converted where its producer and a reader cannot agree, at most once each way. Elementwise operators,
    poolings and means over the pixels take part; all others read `[N, C, H, W]`.
    """

    implementations: Implementations
    name: str = "PlanLayouts"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        from edgecompile.passes.layout_rewriter import LayoutRewriter, why_not_rewritable

        reason = why_not_rewritable(module["main"])
        if reason is not None:
            decisions.append(Decision(self.name, "main", False, reason))
            return module
        return LayoutRewriter(module, self.implementations, self.name, decisions).rewrite()
