"""Which channels go together, and that networks without some of them compute what zeros in their places would."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import nn

import edgecompile as ec
from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.rewrite import kept_without, remove
from edgecompile.frontend.model import Model
from tests.compress.prune.interpret import interpret
from tests.compress.prune.zeros import with_zeros


class Residual(nn.Module):
    """A block with a shortcut through a convolution of 1x1."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.one = nn.Conv2d(12, 16, 3, stride=2, padding=1)
        self.two = nn.Conv2d(16, 20, 3, padding=1)
        self.shortcut = nn.Conv2d(12, 20, 1, stride=2)
        self.classifier = nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(self.two(torch.relu(self.one(x))) + self.shortcut(x))
        return self.classifier(x.mean((2, 3)))


class Joined(nn.Module):
    """Branches side by side, one of them in groups, then taken apart again, and a flattened image."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(14, 12, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(6, 12, 3, padding=1, groups=6)
        self.classifier = nn.Linear((12 + 6) * 16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([torch.relu(self.left(x)), self.right(x)], 1)
        one, two = torch.split(self.grouped(x), 6, 1)
        return self.classifier(torch.cat([self.depthwise(one), two[:, :6]], 1).flatten(1))


class Gated(nn.Module):
    """Squeeze and excite."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.reduce, self.expand = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.last = nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        gate = torch.sigmoid(self.expand(torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))))
        return self.last(x * gate)


class Attention(nn.Module):
    """Queries, keys and values of one product, and a feed-forward network."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.projection = nn.Linear(24, 3 * 24), nn.Linear(24, 24)
        self.norm, self.expand, self.contract = nn.LayerNorm(24), nn.Linear(24, 40), nn.Linear(40, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, 4, 6).permute(2, 0, 3, 1, 4)
        y = torch.softmax(q @ k.transpose(-1, -2) / 6**0.5, -1) @ v
        x = self.norm(x + self.projection(y.transpose(1, 2).reshape(n, tokens, width)))
        return x + self.contract(torch.nn.functional.gelu(self.expand(x)))


class Tied(nn.Module):
    """A layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.twice(torch.relu(self.twice(torch.relu(self.first(x)))))))


IMAGE = (2, 3, 4, 4)
NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...], Mapping[str, int]]] = {
    "residual": (Residual, IMAGE, {"stem_0_conv2d": 12, "one_conv2d": 16, "two_conv2d": 20}),
    "joined": (Joined, IMAGE, {"left_conv2d": 6, "grouped_conv2d": 6}),
    "gated": (Gated, IMAGE, {"stem_conv2d": 16, "reduce_conv2d": 4}),
    "attention": (Attention, (2, 5, 24), {"qkv_matmul": 4, "expand_matmul": 40}),
    "tied": (Tied, (2, 8), {"first_matmul": 16}),
}


def load(name: str) -> tuple[Model, np.ndarray]:
    make, shape, _ = NETWORKS[name]
    torch.manual_seed(0)
    x = torch.randn(*shape)
    module = make().eval()
    return ec.load(module, example_inputs=(x,)), x.numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_with_zeros(name: str) -> None:
    model, x = load(name)
    groups = find_groups(model.module)
    assert len(groups)
    generator = np.random.default_rng(1)
    removed = {g.name: generator.permutation(g.channels)[: g.channels // 2] for g in groups}
    [expected] = interpret(with_zeros(model.module, groups, kept_without(groups, removed)), x)
    [found] = interpret(remove(model.module, groups, removed), x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_groups(name: str) -> None:
    model, _ = load(name)
    found = {group.name: group.channels for group in find_groups(model.module)}
    assert found == NETWORKS[name][2]


def test_tied_weights_are_a_reason() -> None:
    model, _ = load("tied")
    assert "reads the weight of" in str(find_groups(model.module)["first_matmul"])
