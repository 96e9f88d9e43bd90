"""Layouts for the whole graph: the ways of each operator, an exact search over them, and the rewriting."""

from __future__ import annotations

from edgecompile.passes.layouts.plan_layouts import PlanLayouts

__all__ = ["PlanLayouts"]
