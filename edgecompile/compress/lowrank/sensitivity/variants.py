"""`WeightVariants`: a model with any choice of its layers factorised, compiled once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tvm
from tvm import relax

from edgecompile.compress.graph.edit import edited
from edgecompile.compress.lowrank.factors import Factors
from edgecompile.compress.lowrank.layers import WeightedLayer
from edgecompile.compress.lowrank.sensitivity.factorised import Factorised
from edgecompile.compress.sensitivity.simulation import Simulation
from edgecompile.frontend.model import Model, TensorSpec

if TYPE_CHECKING:
    from edgecompile.compress.driver import Predict

_SUFFIX = "_weight"


class WeightVariants(Simulation):
    """The model with the weights of some layers as further inputs; use it in a `with` statement.

    Factors compute what one layer with their product for its weight does, so this stands for them.

    Args:
        model: simplified.
        layers: whose weights change.
        factorised: what they become.
    """

    def __init__(
        self, model: Model, layers: Sequence[WeightedLayer], factorised: Factorised, progress: Callable[[str], None]
    ) -> None:
        self._factorised = factorised
        self._plain = {layer.name: _stored(layer, layer.weight) for layer in layers}
        self._layers = {layer.name: layer for layer in layers}
        specs = [TensorSpec(f"{name}{_SUFFIX}", weight.shape, "float32") for name, weight in self._plain.items()]
        super().__init__(model, with_weights_as_inputs(model.module, list(self._plain)), specs, progress)

    def predict(self, levels: Mapping[str, float]) -> Predict:
        """The function that computes the model with layers at these shares, whole layers where none is given."""
        changed = {
            name: _stored(self._layers[name], product_of(factors, self._layers[name]))
            for name, factors in self._factorised.factors(levels).items()
        }
        return self.given(*(changed.get(name, weight) for name, weight in self._plain.items()))


def with_weights_as_inputs(module: tvm.IRModule, layers: Sequence[str]) -> tvm.IRModule:
    """The module that reads these weights from further inputs.

        conv = nn.conv2d(x, W)  ->  conv = nn.conv2d(x, conv_weight)

    Args:
        module: its `main` is one dataflow block.
        layers: convolutions and matrix products with constant weights; the inputs are in this order.
    """
    calls = {
        binding.var.name: (binding.var, binding.value)
        for binding in module["main"].body.blocks[0].bindings
        if binding.var.name in layers
    }
    parameters, values = [], {}
    for name in layers:
        variable, call = calls[name]
        parameters.append(relax.Var(f"{name}{_SUFFIX}", call.args[1].ty))
        values[variable] = relax.Call(call.op, [call.args[0], parameters[-1]], call.attrs, call.ty_args)
    return edited(module, values=values, parameters=parameters)


def product_of(factors: Factors, layer: WeightedLayer) -> np.ndarray:
    """float64 `[outputs, inputs, KH, KW]`: the weight that the factors have together."""
    last = factors.last.weight.reshape(len(factors.last.weight), -1)
    product: np.ndarray = last @ factors.features
    shape = layer.shape
    return product.reshape(shape.outputs, shape.inputs, *shape.kernel)


def _stored(layer: WeightedLayer, weight: np.ndarray) -> np.ndarray:
    """float32 as the layer's operator has it: `[outputs, inputs, KH, KW]`, or `[inputs, outputs]` of a matmul."""
    arranged = weight if layer.operator == "nn.conv2d" else weight[:, :, 0, 0].T
    return np.ascontiguousarray(arranged, np.float32)
