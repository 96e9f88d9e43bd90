"""Weights in fewer bits than they are computed with: as arrays, as a Relax operator, and as loops that decode them."""

from __future__ import annotations

from edgecompile.storage.stored_weight import CodedWeight, HalfWeight, StoredWeight

__all__ = ["CodedWeight", "HalfWeight", "StoredWeight"]
