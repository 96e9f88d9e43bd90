"""16-bit floats: computed in float32 within a node, rounded once at its end."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import make_model, run

RNG = np.random.default_rng(3)
ONES = np.ones((3, 5000))
# Exact in both dtypes: sixteenths with at most 6 bits.
IMAGE = RNG.integers(0, 16, (1, 600, 3, 3)) / 16
FILTER = RNG.integers(0, 16, (2, 600, 3, 3)) / 16
SCORES = RNG.integers(-60, 60, (4, 700)) / 16

CASES: dict[str, tuple[str, dict[str, np.ndarray], dict[str, Any], np.ndarray]] = {
    "sum beyond 2048": ("ReduceSum", {"x": ONES, "axes": np.array([1])}, {"keepdims": 0}, ONES.sum(1)),
    "mean": ("GlobalAveragePool", {"x": ONES[None]}, {}, np.ones((1, 3, 1))),
    "softmax": ("Softmax", {"x": SCORES}, {}, np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)),
    "convolution": ("Conv", {"x": IMAGE, "w": FILTER}, {}, np.einsum("ncij,ocij->no", IMAGE, FILTER)[..., None, None]),
    "exponential that cancels": ("Celu", {"x": np.array([-0.5, -0.01, 0.5])}, {"alpha": 2.0}, np.zeros(0)),
}


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_result_is_rounded_once(name: str, dtype: np.dtype[Any]) -> None:
    op_type, inputs, attributes, expected = CASES[name]
    if name == "exponential that cancels":
        x = inputs["x"].astype(dtype).astype(np.float64)
        expected = np.where(x > 0, x, 2.0 * np.expm1(x / 2.0))
    given = {key: array if array.dtype.kind == "i" else array.astype(dtype) for key, array in inputs.items()}
    frozen = {key: array for key, array in given.items() if array.dtype.kind == "i"}
    model = load_onnx(make_model(op_type, given, outputs=(dtype.name,), opset=24, **attributes), freeze=frozen)
    (found,) = run(model, [array for key, array in given.items() if key not in frozen])
    assert found.dtype == dtype
    half_step = 0.501 * float(ml_dtypes.finfo(dtype).eps)
    tiny = float(ml_dtypes.finfo(dtype).smallest_subnormal)
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=half_step, atol=tiny)


def test_softplus_keeps_small_results() -> None:
    x = np.array([-40, -16, -10, -1, 0, 3, 90], np.float32)
    (found,) = run(load_onnx(make_model("Softplus", {"x": x})), [x])
    np.testing.assert_allclose(found, np.logaddexp(0, x.astype(np.float64)), rtol=5e-7)
