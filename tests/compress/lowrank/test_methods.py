"""Each method's factors compute what they say, cost what they say, and err by what they say."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from edgecompile.compress.activations.product import products_of
from edgecompile.compress.lowrank.layers import weighted_layers
from edgecompile.compress.lowrank.methods import methods_for
from edgecompile.compress.lowrank.methods.cp import Cp
from edgecompile.compress.lowrank.methods.method import Method, Ranks
from edgecompile.compress.lowrank.methods.spatial import Spatial
from edgecompile.compress.lowrank.methods.svd import Channel, Svd
from edgecompile.compress.lowrank.methods.tucker import Tucker
from edgecompile.compress.lowrank.problem import Problem, damped
from edgecompile.compress.lowrank.rewrite import rewrite
from edgecompile.frontend.model import Model
from edgecompile.layers import constants_of, layers_of
from tests.compress.lowrank.graphs import layer_model, random_input, run_torch

RANDOM = np.random.default_rng(3)
ODD: dict[str, Any] = {"strides": (2, 1), "padding": (2, 0, 1, 1), "dilation": (1, 2)}


def weight(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def low_rank(*shape: int) -> np.ndarray:
    """A weight that has structure, as trained ones do."""
    outputs, inputs, *kernel = shape
    parts = np.einsum(
        "kr,cr,hr,wr->kchw", weight(outputs, 3), weight(inputs, 3), weight(kernel[0], 3), weight(kernel[1], 3)
    )
    return (parts + 0.1 * weight(*shape)).astype(np.float32)  # fmt: skip


def problem_of(model: Model, gram: np.ndarray | None = None) -> Problem:
    (layer,) = weighted_layers(model)
    return Problem(layer.shape, layer.weight, gram)


def gram_of(model: Model, x: np.ndarray) -> np.ndarray:
    """Damped so little that it does not show."""
    (product,) = products_of(model.module["main"], {"layer"})
    rows = product.rows(x, 10**6, np.random.default_rng(0))[0].astype(np.float64)
    found = damped(rows.T @ rows / len(rows), 1e-9)
    assert found is not None
    return found


CASES: list[tuple[type[Method], Model]] = [
    (Svd, layer_model(weight(9, 5))),
    (Svd, layer_model(weight(5, 9))),
    (Svd, layer_model(weight(6, 4, 1, 1), strides=(2, 1), padding=(1, 0, 0, 1))),
    (Channel, layer_model(weight(6, 4, 3, 2), **ODD)),
    (Channel, layer_model(weight(20, 1, 3, 3))),
    (Spatial, layer_model(weight(6, 4, 3, 2), **ODD)),
    (Spatial, layer_model(weight(5, 7, 2, 3), padding=(1, 2, 0, 1))),
    (Tucker, layer_model(weight(6, 4, 3, 2), **ODD)),
    (Tucker, layer_model(weight(3, 11, 1, 3), padding=(0, 1, 0, 1))),
]


@pytest.mark.parametrize(("method", "model"), CASES)
@pytest.mark.parametrize("with_data", [False, True])
def test_full_rank_changes_nothing(method: type[Method], model: Model, with_data: bool) -> None:
    x = random_input(model)
    problem = problem_of(model, gram_of(model, random_input(model, 1)) if with_data else None)
    ranks = method.highest(problem.shape)
    factors = method(problem).factors(ranks)
    expected, found = (run_torch(m, x) for m in (model.module, rewrite(model.module, {"layer": factors})))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert factors.error < 1e-9


@pytest.mark.parametrize(("method", "model"), [*CASES, (Cp, layer_model(low_rank(6, 5, 3, 2), **ODD))])
def test_the_costs_are_those_of_the_rewritten_module(method: type[Method], model: Model) -> None:
    problem = problem_of(model)
    ranks = method.trimmed(problem.shape, tuple(max(1, rank // 2) for rank in method.highest(problem.shape)))
    module = rewrite(model.module, {"layer": method(problem).factors(ranks)})
    assert sum(constant.elements for constant in constants_of(module)) == method.params(problem.shape, ranks)
    assert sum(layer.macs for layer in layers_of(module)) == method.macs(problem.shape, ranks)
    (before,) = (layer for layer in layers_of(model.module) if layer.macs)
    assert (before.params, before.macs) == (problem.shape.params, problem.shape.macs)


STRUCTURED: list[tuple[type[Method], Ranks]] = [(Channel, (3,)), (Spatial, (4,)), (Tucker, (3, 3)), (Cp, (4,))]


@pytest.mark.parametrize(("method", "ranks"), STRUCTURED)
def test_the_error_is_that_of_the_results_and_data_lower_it(method: type[Method], ranks: Ranks) -> None:
    model = layer_model(low_rank(8, 6, 3, 3), images=6, padding=(1, 1, 1, 1))
    x = random_input(model)
    gram = gram_of(model, x)
    plain, aware = (method(problem_of(model, each)).factors(ranks) for each in (None, gram))

    def error(module: Any) -> float:
        """Of the layer itself, before the relu."""
        (product,) = products_of(model.module["main"], {"layer"})
        rows = product.rows(x, 10**6, np.random.default_rng(0))[0]
        whole = rows @ product.weight.reshape(8, -1).T
        last = module.last.weight.reshape(8, -1) @ module.features
        return float(np.square(whole - rows @ last.T).sum() / np.square(whole).sum())

    assert 0 < aware.error < 0.5
    assert aware.error == pytest.approx(error(aware), rel=1e-4)
    if method is not Cp:  # its local optima may lie either way
        assert error(aware) < error(plain)


@pytest.mark.parametrize(("method", "ranks"), STRUCTURED)
def test_the_factors_compute_what_their_features_say(method: type[Method], ranks: Ranks) -> None:
    model = layer_model(low_rank(8, 6, 3, 3), **ODD)
    factors = method(problem_of(model)).factors(ranks)
    whole = (factors.last.weight.reshape(8, -1) @ factors.features).reshape(8, 6, 3, 3).astype(np.float32)
    x = random_input(model)
    found = run_torch(rewrite(model.module, {"layer": factors}), x)
    expected = run_torch(layer_model(whole, **ODD).module, x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_svd_is_the_best_of_its_rank_for_the_results() -> None:
    """Eckart and Young: the error is the tail of the singular values of the results themselves."""
    model = layer_model(weight(7, 9), images=20)
    x = random_input(model)
    results = (
        x.reshape(-1, 7).astype(np.float64)
        @ model.module["main"].body.blocks[0].bindings[0].value.args[1].value.numpy()
    )
    squares = np.square(np.linalg.svd(results, compute_uv=False))
    method = Svd(problem_of(model, gram_of(model, x)))
    for rank in (1, 3, 6):
        best = squares[rank:].sum() / squares.sum()
        assert method.error((rank,)) == pytest.approx(best, rel=1e-4)
        assert method.factors((rank,)).error == pytest.approx(best, rel=1e-4)
    assert method.ranks_by_energy(1.0) == (7,)
    share = squares[:3].sum() / squares.sum()
    assert method.ranks_by_energy(share - 1e-4) == (3,)
    assert method.ranks_by_energy(share + 1e-4) == (4,)  # fmt: skip


def test_the_estimate_of_tucker_is_an_upper_bound() -> None:
    model = layer_model(weight(8, 6, 3, 3))
    method = Tucker(problem_of(model))
    for ranks in ((2, 3), (6, 1), (4, 8)):
        assert method.factors(ranks).error <= method.error(ranks) + 1e-9


def test_more_rank_errs_less() -> None:
    model = layer_model(low_rank(8, 6, 3, 3))
    cp = Cp(problem_of(model))
    errors = [cp.factors((rank,)).error for rank in (1, 2, 4, 16)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.05 < errors[0]
    assert cp.error(cp.ranks_by_energy(0.9)) <= 0.1


@pytest.mark.parametrize("method", [Channel, Spatial, Tucker, Cp])
@pytest.mark.parametrize("fill", [1.0, 1e-18, 1e15])
def test_odd_weights(method: type[Method], fill: float) -> None:
    """Constant, tiny and huge: nothing is NaN, and a constant has rank 1."""
    model = layer_model(np.full((6, 4, 3, 3), fill, np.float32))
    problem = problem_of(model)
    made = method(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factors = made.factors((1,) * len(method.highest(problem.shape)))
    assert all(np.isfinite(factor.weight).all() for factor in factors.all)
    assert factors.error < 1e-6
    if method is not Cp:
        assert set(made.ranks_by_energy(0.99)) == {1}


def test_inputs_that_are_always_zero_cost_nothing() -> None:
    """Data that never have the second half of the inputs: the first half alone decides, and nothing is NaN."""
    model = layer_model(weight(8, 8))
    x = random_input(model)
    x[..., 4:] = 0
    rows = x.reshape(-1, 8).astype(np.float64)
    gram = damped(rows.T @ rows)
    assert gram is not None
    factors = Svd(problem_of(model, gram)).factors((4,))
    assert all(np.isfinite(factor.weight).all() for factor in factors.all)
    expected = run_torch(model.module, x)
    found = run_torch(rewrite(model.module, {"layer": factors}), x)
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    assert damped(np.zeros((8, 8))) is None


def test_methods_by_name() -> None:
    (square,) = weighted_layers(layer_model(weight(6, 4, 3, 3)))
    (row,) = weighted_layers(layer_model(weight(6, 4, 1, 3)))
    (matrix,) = weighted_layers(layer_model(weight(6, 4)))
    assert methods_for("auto", square.shape) == (Channel, Tucker, Spatial)
    assert methods_for("auto", row.shape) == (Channel, Tucker)
    assert methods_for("svd", square.shape) == methods_for("channel", square.shape) == (Channel,)
    assert {methods_for(name, matrix.shape) for name in ("auto", "svd", "cp", "tucker", "spatial")} == {(Svd,)}
