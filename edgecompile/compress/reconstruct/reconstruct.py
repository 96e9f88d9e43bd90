"""`reconstruct`: one layer after the other, what is left of a network answers again what the whole one did."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from edgecompile.compress.activations.product import Product, products_of
from edgecompile.compress.activations.runs import Runs
from edgecompile.compress.graph.variables import bindings_of
from edgecompile.compress.reconstruct.least_squares import Fit, Fitted
from edgecompile.compress.reconstruct.network import FittedNetwork
from edgecompile.compress.samples.replay import Replay
from edgecompile.decision import Decision
from edgecompile.frontend.model import Model
from edgecompile.passes.simplify_model import simplify_model

STEP = "Reconstruct"

_MOST_SAMPLES = 256  # of each of as many passes as there are layers
_ROWS_PER_SAMPLE = 512
_MOST_TERMS = 8192  # of a sum: their moments are 512 MB then
_EXACT = 1e-6  # of the variance: nothing changed such a layer, or what it reads


def reconstruct(
    whole: Model,
    smaller: Model,
    kept: Mapping[str, np.ndarray],
    samples: Replay,
    how: Literal["bias", "least_squares"],
    decisions: list[Decision],
    progress: Callable[[str], None],
) -> Model:
    """The smaller model with weights and biases fitted to what the layers of the whole one answer.

        min over W', b' of  sum over samples |W' x' + b' - y|^2

    x' is what the layer reads in the smaller network, those before it fitted already; y is what the layer of that name
    answered in the whole one, the channels that stay. Of a factorised layer that is the last factor: the others have
    names of their own and stay. A fit is kept where the error is smaller on samples it has not seen.

    Args:
        whole, smaller: with the same names of layers; what has a name in one of them alone is not fitted.
        kept: by the name of a layer, int64 indices of its output channels that stay; a layer that is missing keeps all.
        how: "bias" leaves the weights as they are.
        decisions: receives one for each layer.

    Returns:
        The model after `simplify_model`: batch norms are in the weights, and fitted with them.
    """
    whole, smaller = simplify_model(whole), simplify_model(smaller)
    names = [binding.var.name for binding in bindings_of(smaller.module["main"])]
    products = products_of(smaller.module["main"], names)
    in_whole = {product.name: product for product in products_of(whole.module["main"], names)}
    fitted = [product for product in products if product.name in in_whole]
    network = FittedNetwork(smaller, fitted)
    with (
        Runs(whole, samples, progress, only={product.name for product in fitted}) as answers,
        network.runs(samples, progress) as runs,
    ):
        for number, product in enumerate(fitted, 1):
            progress(f"reconstruct {number} of {len(fitted)}: {product.name}")
            stays = kept.get(product.name)
            found, reason = _fit(product, network, runs, answers, stays, how)
            decisions.append(Decision(STEP, product.name, found is not None, reason))
            if found is not None:
                weight = product.from_matrix(found.weight, product.weight.shape)
                network.change(product, weight, found.bias)
    return network.model()


def _fit(
    product: Product,
    network: FittedNetwork,
    runs: Runs,
    answers: Runs,
    stays: np.ndarray | None,
    how: Literal["bias", "least_squares"],
) -> tuple[Fitted | None, str]:
    matrix = product.matrix(product.weight)
    if matrix.shape[2] > _MOST_TERMS:
        return None, f"sums of {matrix.shape[2]:,} terms are too long to fit; at most {_MOST_TERMS:,}"
    fit = Fit(matrix)
    inputs = network.inputs_of(product, runs, _MOST_SAMPLES)
    wanted = (tensors[product.name] for tensors in itertools.islice(answers.one_pass(), _MOST_SAMPLES))
    for number, (x, y) in enumerate(zip(inputs, wanted, strict=True)):
        rows = product.rows(x, _ROWS_PER_SAMPLE, np.random.default_rng(number))
        results = _results(product, y, stays, rows.shape[1], np.random.default_rng(number))
        if not np.isfinite(rows).all() or not np.isfinite(results).all():
            return None, "its inputs or results have NaN or infinite values on the data"
        fit.add(rows, results)
    found = fit.bias() if how == "bias" else fit.least_squares()
    if found.before <= _EXACT:
        return None, "it answers what it did before"
    if found.after >= found.before:
        return None, f"the error stays {found.before:.3g} of the variance: no fit is better on samples it has not seen"
    return found, f"error {found.before:.3g} to {found.after:.3g} of the variance"


def _results(
    product: Product, y: np.ndarray, stays: np.ndarray | None, count: int, random: np.random.Generator
) -> np.ndarray:
    """`[groups, rows, channels]`: what the product answered at the places that `Product.rows` drew."""
    last = np.moveaxis(y, product.result_axis, -1)
    flat = last.reshape(-1, last.shape[-1])
    if stays is not None:
        flat = flat[:, stays]
    places = np.arange(len(flat)) if count == len(flat) else np.sort(random.choice(len(flat), count, replace=False))
    grouped = flat[places].reshape(count, product.groups, -1)
    return np.ascontiguousarray(grouped.transpose(1, 0, 2))
