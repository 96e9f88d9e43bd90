"""Weights of every framework: NaN is refused in every floating-point dtype, nothing else is."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from edgecompile.errors import InvalidModelError
from edgecompile.frontend.weights import refuse_nan


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_nan_is_refused(dtype: type) -> None:
    with pytest.raises(InvalidModelError, match="1 weight holds NaN: 'bad'"):
        refuse_nan({"good": np.ones(3, dtype), "bad": np.array([1, np.nan]).astype(dtype)})


def test_many_names_are_cut() -> None:
    with pytest.raises(InvalidModelError, match=r"7 weights hold NaN: 'w0', .*, 'w4', \.\.\.;"):
        refuse_nan({f"w{index}": np.full((2, 2), np.nan) for index in range(7)})


def test_what_is_a_number_passes() -> None:
    refuse_nan(
        {
            "mask": np.array([-np.inf, np.inf], np.float32),
            "empty": np.zeros((0, 3), np.float32),
            "index": np.arange(3),
            "flag": np.array([True]),
            "scalar": np.array(2.0),
        }
    )
