"""Float operators between dequantize and quantize, as integer operators: one file for each family."""

from __future__ import annotations

from edgecompile.passes.integers.fuse_integer_operators import FuseIntegerOperators

__all__ = ["FuseIntegerOperators"]
