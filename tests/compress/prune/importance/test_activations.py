"""Criteria that look at activations, against hooks on the PyTorch module."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgecompile.compress.prune.importance import scores
from edgecompile.compress.prune.importance.activations import Observed, observed_at
from edgecompile.compress.prune.importance.average_rank import share_of_rank
from tests.compress.prune.importance.networks import FIRST, HIDDEN, SHARED, Network, evidence_of, images, make, plain


def maps_of(net: Network, image: np.ndarray) -> dict[str, list[torch.Tensor]]:
    """What each group's channels are behind their activation functions; [1, channels, ...]."""
    x = net.stem(torch.from_numpy(image))
    first = torch.relu(net.first(x))
    joined = torch.relu(net.norm(net.second(first)) + x)
    hidden = torch.relu(net.hidden(joined.flatten(1)))
    return {SHARED: [x, joined], FIRST: [first], HIDDEN: [hidden]}


def rank(maps: torch.Tensor) -> np.ndarray:
    """Of a vector, whether it is not zero."""
    return (torch.linalg.matrix_rank(maps) / 4 if maps.ndim == 4 else (maps != 0).float())[0].numpy()


def not_zero(maps: torch.Tensor) -> np.ndarray:
    return (maps != 0).double().flatten(2 if maps.ndim == 4 else 1)[0].numpy().reshape(maps.shape[1], -1).mean(1)


@torch.no_grad()
@pytest.mark.parametrize(("criterion", "formula"), [("average_rank", rank), ("apoz", not_zero)])
def test_activations(criterion: str, formula: object) -> None:
    assert callable(formula)
    net, data = make(), images()
    net.first.bias[1] = -100.0  # never active
    evidence = evidence_of(net, data)
    answer = scores(evidence.groups, criterion, evidence)
    each = [{group: [formula(m) for m in maps] for group, maps in maps_of(net, image).items()} for image in data]
    for group in (SHARED, FIRST, HIDDEN):
        expected = np.mean([np.mean(sample[group], axis=0) for sample in each], axis=0)
        np.testing.assert_allclose(answer[group], expected, rtol=1e-6)
    assert answer[FIRST][1] == 0
    assert not evidence.decisions


def test_where_channels_are_seen() -> None:
    found = {group: [place.variable for place in places] for group, places in observed_at(plain().groups).items()}
    # The shortcut is seen behind the addition, the rest behind its own activation function.
    assert found == {SHARED: ["stem_2", "relu_2"], FIRST: ["relu_1"], HIDDEN: ["relu_3"]}


def test_maps() -> None:
    array = np.arange(2 * 6 * 3 * 4).reshape(2, 6, 3, 4)
    one = Observed("x", 1, np.array([[4], [0]]))
    np.testing.assert_array_equal(one.maps(array), array[:, [4, 0]])
    heads = Observed("x", 2, np.array([[0, 1, 2], [3, 4, 5]]))
    tokens = array.reshape(2, 12, 6)
    np.testing.assert_array_equal(heads.maps(tokens), tokens.reshape(2, 12, 2, 3).transpose(0, 2, 3, 1))
    vector = Observed("x", 0, np.array([[1], [3]]))
    np.testing.assert_array_equal(vector.maps(np.arange(5)), [[[[1]], [[3]]]])


def test_rank() -> None:
    maps = np.zeros((1, 4, 3, 5), np.float32)
    maps[0, 1] = np.outer([1, 2, 3], [1, 0, 2, 1, 1])
    maps[0, 2] = np.random.default_rng(0).standard_normal((3, 5))
    maps[0, 3] = 7.0
    np.testing.assert_allclose(share_of_rank(maps), [[0, 1 / 3, 1, 1 / 3]])


def test_activations_that_overflow_count_the_same() -> None:
    net = make()
    torch.nn.init.constant_(net.first.weight, 1e38)
    evidence = evidence_of(net, images())
    answer = scores(evidence.groups, "average_rank", evidence)
    np.testing.assert_array_equal(answer[FIRST], np.ones(5))
    assert FIRST in {decision.subject for decision in evidence.decisions}
