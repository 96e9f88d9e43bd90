"""Data-free rewrites of a model's IR, and the order in which they run."""

from __future__ import annotations

from edgecompile.passes.pipeline import LAYOUTS, Lowered, Phase, eliminate_dead_code, lower, standard_phases

__all__ = ["LAYOUTS", "Lowered", "Phase", "eliminate_dead_code", "lower", "standard_phases"]
