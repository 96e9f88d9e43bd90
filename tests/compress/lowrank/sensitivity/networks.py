"""A network with layers that some shares of their parameters reach, and others do not."""

from __future__ import annotations

import numpy as np
from tvm import relax

from edgecompile.frontend.model import Model, TensorSpec
from tests.relax_models import constant, make_model

TARGET = "host,vector_bytes=16"
"""Of four lanes, so that ranks are multiples of 4 wherever the tests run."""


def network(seed: int = 0) -> Model:
    """stem [16, 2, 3, 3], wide [16, 16, 3, 3], narrow [4, 16, 1, 1], head [4, 3]: no rank pays for the last two."""
    random = np.random.default_rng(seed)

    def weight(*shape: int, terms: int) -> np.ndarray:
        return (random.standard_normal(shape) / np.sqrt(terms)).astype(np.float32)

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Var:
        for name, outputs, inputs, size in (("stem", 16, 2, 3), ("wide", 16, 16, 3), ("narrow", 4, 16, 1)):
            kernel = constant(weight(outputs, inputs, size, size, terms=inputs * size * size))
            x = builder.emit(relax.op.nn.conv2d(x, kernel, padding=size // 2), name_hint=name)
            x = builder.emit(relax.op.nn.relu(x), name_hint=f"{name}_relu")
        x = builder.emit(relax.op.mean(x, [2, 3]), name_hint="pool")
        return builder.emit(relax.op.matmul(x, constant(weight(4, 3, terms=4))), name_hint="head")

    return make_model([TensorSpec("x", (1, 2, 6, 6), "float32")], body, [TensorSpec("y", (1, 3), "float32")])


def images(count: int, seed: int = 1) -> list[np.ndarray]:
    """For the network."""
    return list(np.random.default_rng(seed).standard_normal((count, 1, 2, 6, 6)).astype(np.float32))
