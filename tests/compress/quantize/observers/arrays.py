"""Arrays that observers must get right, as hypothesis strategies."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)


def samples(most: int = 4) -> st.SearchStrategy[list[np.ndarray]]:
    """One to `most` samples of one tensor, of any finite values of every magnitude."""
    array = hnp.arrays(np.float32, hnp.array_shapes(max_dims=2, max_side=12), elements=FLOATS)
    return st.lists(array, min_size=1, max_size=most)


def normal(count: int, seed: int = 0) -> np.ndarray:
    """Standard normal values, [count] float32."""
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)
