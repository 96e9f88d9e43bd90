"""`FittedNetwork`: a smaller network whose weights are inputs, so that it is compiled once for all fits."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tvm import relax

from edgecompile.compress.activations.product import Product
from edgecompile.compress.activations.runs import Runs
from edgecompile.compress.graph.edit import edited, with_constants
from edgecompile.compress.quantize.improve.correct_bias import with_corrections
from edgecompile.compress.samples.replay import Replay
from edgecompile.frontend.model import Model, TensorSpec


class FittedNetwork:
    """A model with weights and biases that can change from one pass over the data to the next.

    Args:
        model: after `simplify_model`.
        products: of it, whose weights change.
    """

    def __init__(self, model: Model, products: Sequence[Product]) -> None:
        self._model, self._products = model, products
        self._weights = {product.name: product.weight for product in products}
        self._biases = {product.name: np.zeros(_vector(product), np.float32) for product in products}

    def change(self, product: Product, weight: np.ndarray, bias: np.ndarray) -> None:
        """Other weights, of the same shape, and what is added to the product's results: a number for each channel."""
        self._weights[product.name] = weight.astype(np.float32)
        self._biases[product.name] = bias.astype(np.float32).reshape(_vector(product))

    def runs(self, samples: Replay, progress: Callable[[str], None]) -> Runs:
        """The network, to answer what its products read; for `inputs_of`."""
        variables = {binding.var.name: binding.var for binding in self._model.module["main"].body.blocks[0].bindings}
        values, behind, specs, parameters = {}, {}, [], []
        for product in self._products:
            weight = TensorSpec(f"weight_of_{product.name}", product.weight.shape, "float32")
            bias = TensorSpec(f"bias_of_{product.name}", _vector(product), "float32")
            new = [relax.Var(spec.name, relax.TensorType(spec.shape, "float32")) for spec in (weight, bias)]
            call = product.call
            values[variables[product.name]] = relax.Call(call.op, [call.args[0], new[0]], call.attrs, call.ty_args)
            behind[variables[product.name]] = _adding(new[1])
            specs += [weight, bias]
            parameters += new
        module = edited(self._model.module, values=values, behind=behind, parameters=parameters)
        model = dataclasses.replace(self._model, module=module, inputs=(*self._model.inputs, *specs))
        return Runs(model, samples, progress, only={product.source for product in self._products})

    def inputs_of(self, product: Product, runs: Runs, most: int) -> Iterator[np.ndarray]:
        """What a product reads for each sample, with the weights as they are now."""
        given = {f"weight_of_{name}": weight for name, weight in self._weights.items()}
        given |= {f"bias_of_{name}": bias for name, bias in self._biases.items()}
        for sample in itertools.islice(runs.samples, most):
            yield dict(runs.observed.run({**sample, **given}))[product.source]

    def model(self) -> Model:
        """With the weights and biases as constants again."""
        variables = {binding.var.name: binding.var for binding in self._model.module["main"].body.blocks[0].bindings}
        weights = {(variables[name], 1): weight for name, weight in self._weights.items()}
        module = with_corrections(with_constants(self._model.module, weights), self._biases)
        return dataclasses.replace(self._model, module=module)


def _adding(bias: relax.Var) -> Callable[[relax.Var], relax.Expr]:
    return lambda result: relax.op.add(result, bias)


def _vector(product: Product) -> tuple[int, ...]:
    """In which one number for each channel is added to the product's results."""
    extents = product.call.ty.shape.values
    axis = product.result_axis
    return tuple(int(extent) if place == axis else 1 for place, extent in enumerate(extents))
