"""Integer operators: their meaning once as NumPy and once as TIR, and their place in Relax."""

from __future__ import annotations

from edgecompile.integer.requantization import FixedPoint

__all__ = ["FixedPoint"]
