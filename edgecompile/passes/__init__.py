"""Data-free rewrites of a model's IR, and the order in which they run."""

from __future__ import annotations

from edgecompile.passes.pipeline import Lowered, Phase, eliminate_dead_code, lower, standard_phases

__all__ = ["Lowered", "Phase", "eliminate_dead_code", "lower", "standard_phases"]
