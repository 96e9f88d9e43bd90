"""Criteria that look at gradients, against PyTorch's own of the module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from edgecompile.compress.prune.importance import scores
from edgecompile.compress.prune.importance.gradients import loss_of
from edgecompile.errors import UnsupportedModelError
from tests.compress.prune.importance.networks import FIRST, HIDDEN, SHARED, evidence_of, images, make


def own_loss(logits: torch.Tensor) -> torch.Tensor:
    return cross_entropy(logits, logits.argmax(1))


def test_taylor_is_the_gradient_of_the_activations() -> None:
    """The loss with a gate of 1 on each channel, by the gate, squared."""
    net, data = make(), images()
    squares: dict[str, list[np.ndarray]] = {SHARED: [], FIRST: [], HIDDEN: []}
    for image in data:
        x = net.stem(torch.from_numpy(image))
        gates = {group: torch.ones(n, requires_grad=True) for group, n in ((SHARED, 7), (FIRST, 5), (HIDDEN, 6))}
        image_gates = {group: gates[group].reshape(1, -1, 1, 1) for group in (SHARED, FIRST)}
        # Both tensors of the group are gated where layers with weights read them.
        first = torch.relu(net.first(x * image_gates[SHARED])) * image_gates[FIRST]
        joined = torch.relu(net.norm(net.second(first)) + x) * image_gates[SHARED]
        hidden = torch.relu(net.hidden(joined.flatten(1))) * gates[HIDDEN]
        for group, gradient in zip(
            gates, torch.autograd.grad(own_loss(net.classifier(hidden)), list(gates.values())), strict=True
        ):
            squares[group].append(gradient.double().square().numpy())
    evidence = evidence_of(net, data)
    answer = scores(evidence.groups, "taylor", evidence)
    for group, expected in squares.items():
        mean = np.mean(expected, axis=0)
        np.testing.assert_allclose(answer[group], mean / mean.mean(), rtol=1e-3, atol=1e-6)


def test_gradient_is_that_of_the_module() -> None:
    net, data = make(), images()
    layers = (net.stem[0], net.first, net.second, net.hidden, net.classifier)
    sums = {SHARED: np.zeros(7), FIRST: np.zeros(5), HIDDEN: np.zeros(6)}
    for image in data:
        weights = [layer.weight for layer in layers]
        found = torch.autograd.grad(own_loss(net(torch.from_numpy(image))), weights)
        stem, first, second, hidden, classifier = (
            (gradient * weight).detach().abs().double().numpy() for gradient, weight in zip(found, weights, strict=True)
        )
        sums[SHARED] += stem.sum((1, 2, 3)) + second.sum((1, 2, 3)) + first.sum((0, 2, 3))
        sums[SHARED] += hidden.reshape(6, 7, 16).sum((0, 2))
        sums[FIRST] += first.sum((1, 2, 3)) + second.sum((0, 2, 3))
        sums[HIDDEN] += hidden.sum(1) + classifier.sum(0)
    evidence = evidence_of(net, data)
    answer = scores(evidence.groups, "gradient", evidence)
    for group, total in sums.items():
        np.testing.assert_allclose(answer[group], total / total.mean(), rtol=1e-4)


def test_zero_channels_score_least() -> None:
    net = make()
    with torch.no_grad():
        net.first.weight[3], net.first.bias[3] = 0, 0
        net.second.weight[:, 3] = 0
    evidence = evidence_of(net, images())
    for criterion in ("taylor", "gradient"):
        answer = scores(evidence.groups, criterion, evidence)[FIRST]
        assert answer[3] == 0, criterion
        assert (np.delete(answer, 3) > 0).all(), criterion


def test_loss_of_what_is_no_class() -> None:
    tokens, vector = torch.full((1, 4, 2), 3.0), torch.tensor([[2.0, 0.0]])
    assert loss_of([tokens]).item() == 4.5
    assert loss_of([tokens, vector, torch.tensor([1])]).item() == 5.5
    assert loss_of([vector]).item() == pytest.approx(np.log(1 + np.exp(-2.0)))


def test_loss_needs_floating_point() -> None:
    with pytest.raises(UnsupportedModelError, match="output of floating point"):
        loss_of([torch.tensor([1])])
