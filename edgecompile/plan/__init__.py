"""The execution plan: where each tensor lives, and which kernel is called on it in which order."""

from __future__ import annotations

from edgecompile.plan.build import build_plan
from edgecompile.plan.execution_plan import ConstantBlob, ExecutionPlan, KernelCall, MemoryUse, Operand, Origin

__all__ = ["ConstantBlob", "ExecutionPlan", "KernelCall", "MemoryUse", "Operand", "Origin", "build_plan"]
