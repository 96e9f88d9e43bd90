"""Grids of weights: bounds, zero points, and numbers that have no scale."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.compress.quantize.scheme import LayerScheme, WeightScheme
from edgecompile.compress.quantize.weights import WeightForm, nearest, widest_grid

RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "normal": RANDOM.standard_normal((5, 7)).astype(np.float32),
    "zero": np.zeros((5, 7), np.float32),
    "constant": np.full((5, 7), 0.3, np.float32),
    "positive": RANDOM.uniform(2, 3, (5, 7)).astype(np.float32),
    "negative": RANDOM.uniform(-3, -2, (5, 7)).astype(np.float32),
    "one channel of zeros": np.array([[0.0] * 7, [1.0] * 7, [-2.0] * 7], np.float32),
    "tiny": np.full((5, 7), 1e-45, np.float32),
}


@pytest.mark.parametrize("blocks", [(1, 1), (5, 1), (1, 7), (5, 7)])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 7, 8])
@pytest.mark.parametrize("name", WEIGHTS)
def test_nearest_errs_by_half_a_step(name: str, bits: int, symmetric: bool, blocks: tuple[int, ...]) -> None:
    """A whole one at the ends of asymmetric grids, whose zero point is rounded too."""
    weight = WEIGHTS[name]
    blocks = tuple(min(extent, block) for extent, block in zip(weight.shape, blocks, strict=True))
    highest = (1 << (bits - 1)) - 1
    form = WeightForm(blocks, -highest if symmetric else -highest - 1, highest, symmetric)
    found = nearest(weight, form)
    grid = found.grid
    assert found.integers.dtype == grid.zero_points.dtype == np.int8
    assert found.integers.min() >= form.lowest and found.integers.max() <= form.highest
    assert grid.scales.shape == grid.zero_points.shape == blocks
    assert grid.scales.dtype == np.float32 and (grid.scales > 0).all()
    steps = 0.501 if symmetric else 1.001
    assert (np.abs(grid.real(found.integers) - weight) <= steps * grid.scales).all()
    assert (grid.real(grid.nearest(np.zeros_like(weight))) == 0).all()


def test_asymmetric_grids_are_finer() -> None:
    weight = WEIGHTS["positive"]
    symmetric = widest_grid(weight, WeightForm((5, 1), -127, 127))
    asymmetric = widest_grid(weight, WeightForm((5, 1), -128, 127, symmetric=False))
    assert (asymmetric.scales < 0.51 * symmetric.scales).all()


@pytest.mark.parametrize(
    ("scheme", "form"),
    [
        (LayerScheme(), WeightForm((3, 1), -127, 127)),
        (LayerScheme(reduce_range=True), WeightForm((3, 1), -63, 63)),
        (LayerScheme(weights=WeightScheme(dtype="int4")), WeightForm((3, 1), -7, 7)),
        (LayerScheme(weights=WeightScheme(symmetric=False)), WeightForm((3, 1), -128, 127, symmetric=False)),
    ],
)
def test_form_of_a_scheme(scheme: LayerScheme, form: WeightForm) -> None:
    assert WeightForm.of(scheme, [3, 1]) == form


def test_a_part_of_the_range() -> None:
    weight = WEIGHTS["normal"]
    parts = np.linspace(0.5, 1, 5)[:, None]
    whole, part = (widest_grid(weight, WeightForm((5, 1)), value) for value in (1.0, parts))
    np.testing.assert_allclose(part.scales, whole.scales * parts, rtol=1e-6)
