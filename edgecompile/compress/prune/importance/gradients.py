"""Derivatives of a loss by the weights of a model, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import torch

from edgecompile.compress.prune.channels.group import Group, Groups
from edgecompile.compress.prune.channels.tensor import Tensor
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.prune.weights import Weights
from edgecompile.compress.samples.replay import Replay
from edgecompile.errors import UnsupportedModelError
from edgecompile.frontend.model import Model
from edgecompile.train.torch_view import TorchView

ProductStatistic: TypeAlias = Callable[[Group, Weights], "Scores | None"]
"""(group, dL/dw * w of one sample as the layers read the weights w) -> [channels], or None where there are none."""


def mean_over_samples(
    model: Model,
    groups: Groups,
    samples: Replay,
    statistic: ProductStatistic,
    progress: Callable[[str], None],
) -> dict[str, Scores]:
    """By group, the mean over the samples of a statistic; in one pass, one sample at a time.

    Raises:
        UnsupportedModelError: an operator has no definition in PyTorch, or the model has no floating-point output.
        As for `Replay`.
    """
    view = TorchView(model.module)
    sums: dict[str, Scores] = {}
    count = 0
    for count, sample in enumerate(samples, 1):
        progress(f"gradients, sample {count}")
        outputs = view([torch.from_numpy(sample[spec.name]) for spec in model.inputs])
        products = Weights(groups.program, _products(view, groups, loss_of(outputs)))
        for group in groups:
            found = statistic(group, products)
            if found is not None:
                sums[group.name] = sums.get(group.name, 0.0) + found
    return {group: total / count for group, total in sums.items()}


def loss_of(outputs: list[torch.Tensor]) -> torch.Tensor:
    """What the model would lose, without labels.

        one output [n, classes]    cross entropy of softmax(output) with the class that is the largest
        others                     half of the mean square of each output

    The first is the loss on labels wherever the model is right. Its gradient is small where the model is sure, so that
    samples count that are near a border between classes.

    Raises:
        UnsupportedModelError: no output is of floating point.
    """
    floating = [output for output in outputs if output.is_floating_point()]
    if not floating:
        raise UnsupportedModelError("importance by gradients needs an output of floating point, found none: choose l2")
    if len(floating) == 1 and floating[0].ndim == 2 and floating[0].shape[1] > 1:
        return torch.nn.functional.cross_entropy(floating[0], floating[0].detach().argmax(1))
    return torch.stack([output.square().mean() / 2 for output in floating]).sum()


def _products(view: TorchView, groups: Groups, loss: torch.Tensor) -> Mapping[Tensor, np.ndarray]:
    """dL/dw * w of each constant; of one that is read several times, the sum over its readers."""
    leaves = {operand: leaf for operand, leaf in view.leaves.items() if operand in groups.program.constants}
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    found: dict[Tensor, np.ndarray] = {}
    for (operand, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        tensor = groups.program.constants[operand]
        product = torch.zeros_like(leaf) if gradient is None else gradient * leaf.detach()
        found[tensor] = found.get(tensor, 0.0) + product.detach().float().numpy()
    return found
