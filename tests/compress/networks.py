"""A small network with a convolution, a bias, a matrix product and a choice of dtypes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from tvm import relax

from edgecompile.frontend.model import Model, TensorSpec
from tests.relax_models import constant, make_model

CONV = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
DENSE = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)


def network(batch: int | str = 2) -> Model:
    """image [batch, 3, 6, 6] -> relu(conv) + bias, mean, @ dense^T; and the int64 indices of the largest."""

    def body(builder: relax.BlockBuilder, image: relax.Var) -> list[Any]:
        sums = builder.emit(relax.op.nn.conv2d(image, constant(CONV)), name_hint="conv")
        biased = builder.emit(relax.op.add(sums, constant(np.ones((1, 4, 1, 1), np.float32))), name_hint="bias")
        active = builder.emit(relax.op.nn.relu(biased), name_hint="relu")
        doubled = builder.emit(relax.op.add(active, biased), name_hint="join")
        pooled = builder.emit(relax.op.mean(doubled, [2, 3]), name_hint="pool")
        # Weights in storage of 16 bits, and turned around, as frontends leave them.
        half = builder.emit(relax.op.astype(constant(DENSE.astype(ml_dtypes.bfloat16)), "float32"), name_hint="wide")
        weight = builder.emit(relax.op.permute_dims(half), name_hint="turned")
        scores = builder.emit(relax.op.matmul(pooled, weight), name_hint="fc")
        order = builder.emit(relax.op.argmax(scores, 1), name_hint="order")
        return [scores, order]

    spec = TensorSpec("image", (batch, 3, 6, 6), "float32")
    outputs = (TensorSpec("scores", (batch, 5), "float32"), TensorSpec("order", (batch,), "int64"))
    return make_model([spec], body, outputs)
