"""Shapes and constants in blocks."""

from __future__ import annotations

import numpy as np

from edgecompile.passes.layouts.blocked_tensors import block_constant, blocked_shape, is_reshape


def test_blocked_constants() -> None:
    array = np.arange(12, dtype=np.float32).reshape(12, 1, 1)
    blocked = block_constant(array, 12, 4)
    assert blocked is not None
    assert blocked.shape == (1, 3, 1, 1, 4)
    assert blocked[0, 2, 0, 0, 1] == 9
    assert block_constant(np.zeros((6, 1, 1), np.float32), 12, 4) is None
    assert block_constant(np.zeros((1, 1, 12, 1, 1), np.float32), 12, 4) is None
    assert blocked_shape((2, 12, 5, 6), 4) == (2, 3, 5, 6, 4)
    assert is_reshape((1, 12, 1, 1), 4)
    assert not is_reshape((1, 12, 2, 1), 4)
