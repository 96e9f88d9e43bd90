"""Weights that stand for factors, against the factors themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgecompile.compress.lowrank.prepare import prepare
from edgecompile.compress.lowrank.recipe import Budget, LayerRule, LowRankStep
from edgecompile.compress.lowrank.sensitivity.factorised import Factorised
from edgecompile.compress.lowrank.sensitivity.variants import WeightVariants
from edgecompile.compress.samples.replay import Replay
from tests.compress.lowrank.graphs import layer_model, random_input, run_torch


@pytest.mark.parametrize(
    ("method", "shape", "options"),
    [
        ("svd", (12, 10), {}),
        ("channel", (10, 6, 3, 3), {"strides": 2, "padding": 1}),
        ("spatial", (9, 8, 3, 2), {"padding": (1, 0, 0, 1), "dilation": 2}),
        ("tucker", (9, 8, 3, 3), {"padding": 1}),
        ("cp", (9, 8, 3, 3), {}),
    ],
)
def test_products_compute_what_factors_do(
    method: str, shape: tuple[int, ...], options: dict[str, object], tmp_path: Path
) -> None:
    weight = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    model = layer_model(weight, **options)
    x = random_input(model)
    step = LowRankStep(budget=Budget(params=1.0), default=LayerRule(method=method))  # type: ignore[arg-type]
    samples = Replay([x], model.inputs, None)
    ready = prepare(model, step, samples=samples, lanes=2, folder=tmp_path, progress=lambda phase: None)
    factorised = Factorised(ready, [0.01, 0.7])
    assert factorised.levels == {"layer": [0.7]}
    assert factorised.module({}) is factorised.module({"layer": 0.01}) is None
    layers = [found.layer for found in ready.layers]
    with WeightVariants(ready.model, layers, factorised, lambda phase: None) as variants:
        for levels, module in (({}, model.module), ({"layer": 0.7}, factorised.module({"layer": 0.7}))):
            assert module is not None
            wanted = run_torch(module, x)
            [found] = variants.predict(levels)([x])
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
