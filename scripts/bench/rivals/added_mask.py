"""Attention masks as numbers that are added to the scores."""

from __future__ import annotations

import numpy as np

_NEVER = -1e9  # far below every score, and finite: a difference of infinities would be NaN


def added_mask(mask: np.ndarray) -> np.ndarray:
    """[N, T] int64, zero where a token takes no part, to [N, 1, T, T] float32."""
    addend = np.where(mask != 0, np.float32(0), np.float32(_NEVER))[:, None, None, :]
    return np.ascontiguousarray(np.broadcast_to(addend, (*addend.shape[:2], mask.shape[1], mask.shape[1])))
