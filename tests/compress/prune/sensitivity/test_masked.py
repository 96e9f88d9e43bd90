"""Channels that a mask hides, against the same channels removed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import tvm
from torch import nn

import edgecompile as ec
from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.rewrite import remove
from edgecompile.compress.prune.sensitivity.masked import mask_of, masked
from tests.compress.prune.fuzz.networks import make_network
from tests.compress.prune.interpret import interpret
from tests.compress.prune.test_find import NETWORKS, load
from tests.fuzz.choices import RandomChoices


class Correlated(nn.Module):
    """Channels that a product of two activations sums over, and that come back by a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.turn, self.leave = nn.Linear(6, 10), nn.Linear(10, 10), nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.sigmoid(self.enter(x))
        x = x + torch.softmax(x @ x.transpose(1, 2), -1) @ self.turn(x)
        return self.leave(x)


def correlated() -> tuple[tvm.IRModule, np.ndarray]:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6)
    return ec.load(Correlated().eval(), example_inputs=(x,)).module, x.numpy()


def check(module: tvm.IRModule, x: np.ndarray, seed: int) -> int:
    """Some channels of some groups hidden, and none; the number of groups."""
    groups = find_groups(module)
    if not len(groups):
        return 0
    generator = np.random.default_rng(seed)
    removed = {
        group.name: generator.permutation(group.channels)[: generator.integers(1, group.channels)]
        for group in groups
        if len(groups) == 1 or generator.integers(4)
    }
    hidden = masked(module, groups)
    for channels, left in ((removed, remove(module, groups, removed)), ({}, module)):
        results = interpret(hidden, x, mask_of(groups, channels))
        for found, wanted in zip(results, interpret(left, x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max() + 1e-12)
    return len(groups)


@pytest.mark.parametrize("name", NETWORKS)
def test_masks_compute_what_is_left(name: str) -> None:
    model, x = load(name)
    assert check(model.module, x, seed=2)


def test_products_of_activations() -> None:
    assert check(*correlated(), seed=3)


def test_random_networks() -> None:
    found = 0
    for seed in range(60):
        network = make_network(RandomChoices(np.random.default_rng(1000 + seed)), most_blocks=8)
        x = np.random.default_rng(seed).standard_normal(network.input_shape, np.float32)
        found += check(network.module, x, seed)
    assert found > 60


def test_no_more_masks_than_sums() -> None:
    model, _ = load("attention")
    text = masked(model.module, find_groups(model.module)).script(show_meta=False)
    # In front of the two products with weights that read channels of a group; heads stay apart until then.
    assert text.count("R.multiply(") == 2
