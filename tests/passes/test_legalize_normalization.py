"""Normalisations over pixels keep their digits where the mean is large."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.passes import lower, standard_phases
from tests.relax_models import constant, make_model, run_virtual_machine

RNG = np.random.default_rng(0)
SCALE, SHIFT = (RNG.standard_normal(6).astype(np.float32) for _ in range(2))
EPSILON = 1e-5

Normalize = Callable[[relax.Expr], relax.Expr]


def instance(axes: list[int]) -> Normalize:
    return lambda x: relax.op.nn.instance_norm(x, constant(SCALE), constant(SHIFT), 1, axes, epsilon=EPSILON)


def group(groups: int) -> Normalize:
    return lambda x: relax.op.nn.group_norm(x, constant(SCALE), constant(SHIFT), groups, 1, [2, 3], epsilon=EPSILON)


def expected(x: np.ndarray, groups: int) -> np.ndarray:
    rows = x.astype(np.float64).reshape(len(x), groups, -1)
    centred = rows - rows.mean(-1, keepdims=True)
    normalized = (centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)).reshape(x.shape)
    return normalized * SCALE[:, None, None] + SHIFT[:, None, None]


@pytest.mark.parametrize("mean", [0, 1000])
@pytest.mark.parametrize(
    ("normalize", "groups", "images"),
    [(instance([2, 3]), 6, 2), (instance([0, 2, 3]), 6, 1), (group(3), 3, 2), (group(1), 1, 2)],
    ids=["instance", "instance of one image", "groups", "one group"],
)
def test_against_float64(normalize: Normalize, groups: int, images: int, mean: float) -> None:
    x = (RNG.standard_normal((images, 6, 5, 7)) + mean).astype(np.float32)
    spec = TensorSpec("x", x.shape, "float32")
    model = make_model([spec], lambda b, data: [b.emit(normalize(data))], [spec])
    module = lower(model.module, standard_phases(), tvm.target.Target("llvm")).module
    # The mean itself has the error of one rounding, 3e-5 at 1000, which the other numbers are shifted by.
    np.testing.assert_allclose(run_virtual_machine(module, x)[0], expected(x, groups), atol=1e-6 + mean * 4e-7)


def test_what_is_not_over_pixels_stays_as_tvm_has_it() -> None:
    x = RNG.standard_normal((2, 6, 5, 7)).astype(np.float32)
    spec = TensorSpec("x", x.shape, "float32")
    model = make_model([spec], lambda b, data: [b.emit(instance([0, 2, 3])(data))], [spec])
    module = lower(model.module, standard_phases(), tvm.target.Target("llvm")).module
    rows = x.transpose(1, 0, 2, 3).reshape(1, 6, -1)
    want = expected(rows[..., None], 6)[..., 0].reshape(6, 2, 5, 7).transpose(1, 0, 2, 3)
    np.testing.assert_allclose(run_virtual_machine(module, x)[0], want, atol=1e-5)
