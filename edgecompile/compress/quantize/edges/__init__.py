"""Which tensors of a float module become int8, and which operators read them."""

from __future__ import annotations

from edgecompile.compress.quantize.edges.edges import Edges

__all__ = ["Edges"]
