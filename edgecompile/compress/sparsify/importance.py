"""Scores of single weights, `[outputs, taps, inputs]` of each layer: more is more important."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgecompile.compress.activations.runs import Runs
from edgecompile.compress.samples.replay import Replay
from edgecompile.compress.sparsify.layer import SparseLayer
from edgecompile.errors import InvalidInputError
from edgecompile.frontend.model import Model


def magnitudes(layers: Sequence[SparseLayer]) -> dict[str, np.ndarray]:
    """|w|, by the name of the layer.

    Source: S. Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NIPS 2015.
    """
    return {layer.name: np.abs(layer.sums()) for layer in layers}


def weighed_magnitudes(
    layers: Sequence[SparseLayer], model: Model, samples: Replay, progress: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """|w| * ||x||, where x are all values of the input channel that w is multiplied by, by the name of the layer.

    At the borders of a convolution's input a tap does not read them all; that is left out.

    Args:
        model: after `simplify_model`, with these layers.

    Raises:
        InvalidInputError: a layer reads what is not finite.

    Source: M. Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", ICLR 2024 (Wanda).
    """
    squares = {layer.name: np.zeros(0) for layer in layers}
    progress("what each layer reads")
    with Runs(model, samples, progress, only={layer.source for layer in layers}) as runs:
        for tensors in runs.one_pass():
            for layer in layers:
                x = np.moveaxis(tensors[layer.source], layer.channel_axis, -1)
                found = np.square(x, dtype=np.float64).sum(axis=tuple(range(x.ndim - 1)))
                squares[layer.name] = found + (squares[layer.name] if squares[layer.name].size else 0.0)
    for layer in layers:
        if not np.isfinite(squares[layer.name]).all():
            raise InvalidInputError(
                f"layer {layer.name!r} reads NaN or infinite values on the data; skip it, or give importance=magnitude"
            )
    scores = magnitudes(layers)
    return {
        layer.name: scores[layer.name] * layer.of_inputs(np.sqrt(squares[layer.name])).astype(np.float32)
        for layer in layers
    }
