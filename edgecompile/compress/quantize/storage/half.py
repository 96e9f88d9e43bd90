"""float16 and bfloat16."""

from __future__ import annotations

import numpy as np

from edgecompile.artifact.dtypes import numpy_dtype
from edgecompile.storage.stored_weight import HalfWeight


def encode_half(weight: np.ndarray, dtype: str) -> HalfWeight:
    """The nearest, ties to even; magnitudes beyond the largest become infinite.

    Args:
        weight: float32, finite.
        dtype: "float16" or "bfloat16".
    """
    with np.errstate(over="ignore"):
        return HalfWeight(weight.astype(numpy_dtype(dtype)))


def largest(dtype: str) -> float:
    """The largest number of float16 or bfloat16."""
    return {"float16": 65504.0, "bfloat16": 3.3895313892515355e38}[dtype]
