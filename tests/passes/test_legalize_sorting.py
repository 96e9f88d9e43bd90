"""Sorting without TVM's runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.passes import lower, standard_phases
from edgecompile.passes.legalize_sorting import MOST_COMPARISONS
from edgecompile.plan.static_program import why_not_static
from tests.relax_models import make_model, run_virtual_machine

TARGET = tvm.target.Target("llvm")
ANY = TensorSpec("y", (1,), "float32")


def run(shape: tuple[int, ...], dtype: str, body: Callable[..., relax.Expr], x: np.ndarray) -> list[np.ndarray]:
    model = make_model([TensorSpec("x", shape, dtype)], lambda b, v: body(v), [ANY])
    module = lower(model.module, standard_phases(), TARGET).module
    assert why_not_static(module) is None
    return run_virtual_machine(module, x)


def values(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 5, shape) if "int" in dtype else rng.standard_normal(shape).round(1)  # with ties
    return array.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_sort_and_argsort(dtype: str, axis: int, descending: bool) -> None:
    x = values((7, 5, 11), dtype)
    key = -x.astype(np.float64) if descending else x
    order = np.argsort(key, axis=axis, kind="stable")
    (found,) = run(x.shape, dtype, lambda v: relax.op.sort(v, axis, descending), x)
    np.testing.assert_array_equal(found, np.take_along_axis(x, order, axis))
    (indices,) = run(x.shape, dtype, lambda v: relax.op.argsort(v, axis, descending, "int32"), x)
    np.testing.assert_array_equal(indices, order)
    assert indices.dtype == np.int32


@pytest.mark.parametrize("largest", [False, True])
def test_topk(largest: bool) -> None:
    x = values((4, 30), "float32")
    order = np.argsort(-x if largest else x, axis=1, kind="stable")[:, :3]
    found, indices = run(x.shape, "float32", lambda v: relax.op.topk(v, 3, 1, "both", largest, "int64"), x)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(found, np.take_along_axis(x, order, 1))


def test_nan_is_the_greatest() -> None:
    x = np.array([3.0, np.nan, -np.inf, np.inf, np.nan, 0.0], np.float32)
    (found,) = run(x.shape, "float32", lambda v: relax.op.sort(v), x)
    np.testing.assert_array_equal(found, np.sort(x))
    (found,) = run(x.shape, "float32", lambda v: relax.op.argsort(v, descending=True, dtype="int64"), x)
    np.testing.assert_array_equal(found, [1, 4, 3, 0, 5, 2])


@pytest.mark.parametrize("exclusive", [False, True])
def test_running_sums_and_products(exclusive: bool) -> None:
    x = values((3, 8), "float32")
    sums, products = np.cumsum(x, 1), np.cumprod(x, 1)
    if exclusive:
        sums = np.concatenate([np.zeros((3, 1), np.float32), sums[:, :-1]], 1)
        products = np.concatenate([np.ones((3, 1), np.float32), products[:, :-1]], 1)
    (found,) = run(x.shape, "float32", lambda v: relax.op.cumsum(v, 1, exclusive=exclusive), x)
    np.testing.assert_allclose(found, sums, rtol=1e-6)
    (found,) = run(x.shape, "float32", lambda v: relax.op.cumprod(v, 1, exclusive=exclusive), x)
    np.testing.assert_allclose(found, products, rtol=1e-6)


def test_long_axes_and_unknown_shapes_are_left_to_the_virtual_machine() -> None:
    long = int(MOST_COMPARISONS**0.5) + 1
    for shape in ((long,), ("n",)):
        model = make_model([TensorSpec("x", shape, "float32")], lambda b, v: relax.op.sort(v), [ANY])
        module = lower(model.module, standard_phases(), TARGET).module
        reason = why_not_static(module)
        assert reason is not None
        x = values((long if shape == (long,) else 50,), "float32")
        (found,) = run_virtual_machine(module, x)
        np.testing.assert_array_equal(found, np.sort(x))
