"""Small networks in which channels can be scaled, and some in which they cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from edgecompile.frontend.model import Model, TensorSpec
from tests.relax_models import constant, make_model


class Layers:
    """Emits named layers with random weights whose channels differ much.

    Args:
        builder: of a function.
        random: draws the weights.
    """

    def __init__(self, builder: relax.BlockBuilder, random: np.random.Generator) -> None:
        self._builder, self._random = builder, random

    def emit(self, value: relax.Expr, name: str) -> relax.Var:
        return self._builder.emit(value, name_hint=name)

    def convolution(self, x: relax.Var, name: str, shape: tuple[int, ...], **options: Any) -> relax.Var:
        """A convolution and its bias."""
        sums = self.emit(relax.op.nn.conv2d(x, constant(self._numbers(shape, 0)), **options), name)
        return self.emit(relax.op.add(sums, constant(self._numbers((1, shape[0], 1, 1), 1))), f"{name}_bias")

    def dense(self, x: relax.Var, name: str, shape: tuple[int, int]) -> relax.Var:
        """A matrix product and its bias."""
        product = self.emit(relax.op.matmul(x, constant(self._numbers(shape, 1))), name)
        return self.emit(relax.op.add(product, constant(self._numbers(shape[1:], 0))), f"{name}_bias")

    def norm(self, x: relax.Var, name: str, channels: int) -> relax.Var:
        """A layer norm over the last axis."""
        gamma, beta = (constant(self._numbers((channels,), 0)) for _ in range(2))
        return self.emit(relax.op.nn.layer_norm(x, gamma, beta, axes=[-1]), name)

    def _numbers(self, shape: tuple[int, ...], axis: int) -> np.ndarray:
        spread = np.exp(self._random.normal(0, 1.5, shape[axis])).astype(np.float32)
        along = spread.reshape([-1 if index == axis else 1 for index in range(len(shape))])
        return self._random.standard_normal(shape).astype(np.float32) * along


def network(
    shape: tuple[int, ...], output: tuple[int, ...], body: Callable[[Layers, relax.Var], relax.Expr], seed: int = 0
) -> Model:
    """A model of one input x."""

    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        return body(Layers(builder, np.random.default_rng(seed)), x)

    return make_model([TensorSpec("x", shape, "float32")], build, [TensorSpec("y", output, "float32")])


def convolutional(seed: int = 0, *, leaky: bool = True) -> Model:
    """Convolution, clip, grouped, depthwise, pooling, mean, dense, dense: everything can be scaled but both ends.

    Args:
        leaky: one relu lets through a part of what is negative.
    """
    bounded = relax.op.nn.leakyrelu if leaky else relax.op.nn.relu

    def body(layers: Layers, x: relax.Var) -> relax.Expr:
        value = layers.emit(relax.op.clip(layers.convolution(x, "first", (6, 3, 3, 3)), 0, 6), "first_bounded")
        value = layers.emit(bounded(layers.convolution(value, "grouped", (8, 3, 3, 3), groups=2)), "bounded")
        value = layers.emit(relax.op.nn.max_pool2d(value, (2, 2), strides=(2, 2)), "pool")
        value = layers.emit(relax.op.nn.relu(layers.convolution(value, "depthwise", (8, 1, 1, 1), groups=8)), "relu")
        mean = layers.emit(relax.op.mean(value, [2, 3], keepdims=True), "mean")
        flat = layers.emit(relax.op.reshape(mean, (2, 8)), "flat")
        hidden = layers.emit(relax.op.nn.relu(layers.dense(flat, "hidden", (8, 5))), "hidden_relu")
        return layers.dense(hidden, "scores", (5, 4))

    return network((2, 3, 10, 10), (2, 4), body, seed)


def attention_input(*, residual: bool, seed: int = 0) -> Model:
    """norm -> query, key and value, added up; then a dense layer behind relu."""

    def body(layers: Layers, x: relax.Var) -> relax.Expr:
        normed = layers.norm(x, "norm", 6)
        query, key, value = (layers.dense(normed, name, (6, 6)) for name in ("query", "key", "value"))
        total = layers.emit(relax.op.add(layers.emit(relax.op.add(query, key), "two"), value), "three")
        if residual:
            total = layers.emit(relax.op.add(total, normed), "residual")
        return layers.dense(total, "last", (6, 4))

    return network((1, 5, 6), (1, 5, 4), body, seed)
