"""Weights stored in fewer bits, and computed with as float32."""

from __future__ import annotations

from edgecompile.compress.quantize.storage.store_weights import store_weights

__all__ = ["store_weights"]
