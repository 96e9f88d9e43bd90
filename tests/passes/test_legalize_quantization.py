"""Quantization rounds halves to even, saturates, and makes NaN the lowest level."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.passes import lower, standard_phases
from tests.relax_models import make_model, run_virtual_machine

# halves of both parities, beyond all bounds, next to a half; 11 entries: full vectors and a rest
X = np.array([-np.inf, -7e4, -2.5, -1.5, -0.5, np.nan, 0.5, 1.5, 2.5, np.nextafter(0.5, 0), np.inf], np.float32)


def quantized(x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int, dtype: str) -> np.ndarray:
    """What our pipeline's code answers."""
    specs, results = [TensorSpec("x", x.shape, str(x.dtype))], [TensorSpec("y", x.shape, dtype)]
    parameters = [relax.const(tvm.runtime.tensor(array)) for array in (scale, zero_point)]
    model = make_model(
        specs, lambda b, data: b.emit(relax.op.quantize(data, *parameters, axis=axis, out_dtype=dtype)), results
    )
    (found,) = run_virtual_machine(lower(model.module, standard_phases(), tvm.target.Target("llvm")).module, x)
    return found


def expected(x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, dtype: str) -> np.ndarray:
    """The formula in NumPy; the quotient has the dtype of `x`."""
    bounds = np.iinfo(dtype)
    rounded = np.rint((x / scale).astype(np.float64)) + zero_point
    return np.where(np.isnan(x), bounds.min, np.clip(rounded, bounds.min, bounds.max)).astype(dtype)


@pytest.mark.parametrize(
    ("float_dtype", "dtype"),
    [
        *(("float32", dtype) for dtype in ("int8", "uint8", "int16", "uint16")),
        ("float16", "int8"),
        ("float16", "int16"),
    ],
)
def test_per_tensor(float_dtype: str, dtype: str) -> None:
    x = np.clip(X, -6e4, np.inf).astype(float_dtype)  # float16 holds nothing below
    scale, zero = np.array(0.5, float_dtype), np.array(3, dtype)
    np.testing.assert_array_equal(quantized(x, scale, zero, -1, dtype), expected(x, scale, zero, dtype))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_per_axis(axis: int) -> None:
    x = np.stack([X * 20, X, X * 0.3], axis=-1).astype(np.float32)[:, :, None]
    count = x.shape[axis]
    scale, zero = np.linspace(0.1, 2, count, dtype=np.float32), np.arange(-5, -5 + count).astype(np.int8)
    shape = [-1 if place == axis % 3 else 1 for place in range(3)]
    want = expected(x, scale.reshape(shape), zero.reshape(shape), "int8")
    np.testing.assert_array_equal(quantized(x, scale, zero, axis, "int8"), want)
