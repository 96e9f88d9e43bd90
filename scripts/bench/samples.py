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


def natural_inputs(examples: Sequence[np.ndarray], count: int, seed: int) -> list[Arrays]:
    """As `random_inputs`, with images [N, C, H, W] whose amplitudes fall with the frequency, as photographs' do.

    To a network, pictures of white noise are all alike: ResNet-18's answers differ by 0.1 % of their energy. These have
    large and small shapes, colours and a contrast of their own; their mean is about 0, their standard deviation 1.1.

    Source: Field, Relations between the statistics of natural images and the response properties of cortical cells,
    1987.
    """
    rng = np.random.default_rng(seed)
    drawn = random_inputs(examples, count, seed)
    return [[_as_picture(array, rng) if _is_image(array) else array for array in arrays] for arrays in drawn]


def _is_image(array: np.ndarray) -> bool:
    return array.ndim == 4 and np.issubdtype(array.dtype, np.floating)


def _as_picture(noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White noise [N, C, H, W] with each amplitude divided by its frequency; that of the mean by half the lowest."""
    height, width = noise.shape[2:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 0.5 / max(height, width)
    weight = 1 / frequency
    energy = np.mean(np.fft.irfft2(weight, (height, width)) ** 2) * height * width
    picture = np.fft.irfft2(np.fft.rfft2(noise) * weight, (height, width)) / np.sqrt(energy)
    contrast = np.exp(rng.normal(0, 0.25))
    return np.ascontiguousarray(contrast * picture, noise.dtype)


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
