"""Random inputs of a network, and PyTorch's answers to them in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecompile import zoo

Arrays = list[np.ndarray]  # the inputs of one inference in the network's order, or its outputs


def random_inputs(examples: Sequence[np.ndarray], count: int, seed: int = 0) -> list[Arrays]:
    """Standard normal numbers in place of the examples' real ones; integers are drawn from the examples' own."""
    rng = np.random.default_rng(seed)

    def one(example: np.ndarray) -> np.ndarray:
        if np.issubdtype(example.dtype, np.floating):
            return rng.standard_normal(example.shape).astype(example.dtype)
        return rng.choice(example.ravel(), example.shape)

    return [[one(example) for example in examples] for _ in range(count)]


def answers_in_float64(name: str, inputs: Sequence[Arrays]) -> list[Arrays]:
    """What the network of the zoo of that name answers to each of the inputs, computed in float64 throughout."""
    import torch

    module, _ = zoo.build(name)
    module.double()
    answers = []
    with torch.no_grad():
        for arrays in inputs:
            tensors = [torch.from_numpy(array) for array in arrays]
            given = module(*(tensor.double() if tensor.is_floating_point() else tensor for tensor in tensors))
            outputs = tuple(given.values()) if isinstance(given, dict) else (given,)
            answers.append([output.numpy() for output in outputs])
    return answers
