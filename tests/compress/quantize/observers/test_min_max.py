"""Min-max is exact."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from edgecompile.compress.quantize.observers import MinMax, Range
from tests.compress.quantize.observers.arrays import samples


@given(samples())
def test_exact(arrays: list[np.ndarray]) -> None:
    statistic = MinMax().needs()
    for array in arrays:
        statistic.update(array)
    values = np.concatenate([[0.0], *(array.ravel().astype(np.float64) for array in arrays)])
    assert MinMax().result(statistic) == Range(values.min(), values.max())
