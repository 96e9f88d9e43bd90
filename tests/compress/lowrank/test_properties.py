"""A law of all networks: at full rank they compute what they did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from tvm import relax

from edgecompile.compress.lowrank.layers import weighted_layers
from edgecompile.compress.lowrank.methods import methods_for
from edgecompile.compress.lowrank.problem import Problem, damped
from edgecompile.compress.lowrank.rewrite import rewrite
from edgecompile.frontend.model import Model
from tests.compress.lowrank.graphs import random_input, random_models, run_torch


@pytest.mark.parametrize("examples", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_full_rank_leaves_the_outputs(examples: int) -> None:
    seen = 0

    @settings(max_examples=examples)
    @given(random_models(), strategies.sampled_from(["channel", "spatial", "tucker"]), strategies.booleans())
    def check(model: Model, method: str, with_data: bool) -> None:
        nonlocal seen
        random = np.random.default_rng(0)
        factors = {}
        for layer in weighted_layers(model):
            if layer.reason:
                continue
            gram = None
            if with_data:
                rows = random.standard_normal((2 * layer.shape.terms, layer.shape.terms))
                gram = damped(rows.T @ rows)
            (kind,) = methods_for(method, layer.shape)
            factors[layer.name] = kind(Problem(layer.shape, layer.weight, gram)).factors(kind.highest(layer.shape))
        module = rewrite(model.module, factors)
        assert relax.analysis.check_well_formed(module)
        x = random_input(model)
        expected = run_torch(model.module, x)
        np.testing.assert_allclose(run_torch(module, x), expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(), 1))
        seen += len(factors)

    check()
    assert seen > examples
