"""A network with one group of each kind that criteria tell apart."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import nn

import edgecompile as ec
from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.importance import Evidence
from edgecompile.compress.samples.replay import Replay
from edgecompile.frontend.model import Model

FIRST, SHARED, HIDDEN = "first_conv2d", "stem_0", "hidden_matmul"


class Network(nn.Module):
    """stem and second make channels that are added; first makes those that second reads; hidden is a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 7, 3, padding=1, bias=False), nn.BatchNorm2d(7), nn.ReLU())
        self.first, self.second = nn.Conv2d(7, 5, 3, padding=1), nn.Conv2d(5, 7, 1, bias=False)
        self.norm = nn.BatchNorm2d(7)
        self.hidden, self.classifier = nn.Linear(7 * 16, 6), nn.Linear(6, 4)
        nn.init.constant_(self.first.bias, 0.5)  # no channel is dead
        for norm in (self.stem[1], self.norm):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(self.norm(self.second(torch.relu(self.first(x)))) + x)
        return self.classifier(torch.relu(self.hidden(x.flatten(1))))


def make() -> Network:
    """The same on every call."""
    torch.manual_seed(3)
    return Network().eval()


def images(count: int = 3) -> list[np.ndarray]:
    """[1, 3, 4, 4] each."""
    return list(np.random.default_rng(2).standard_normal((count, 1, 3, 4, 4), np.float32))


def load(module: nn.Module) -> tuple[Model, Groups]:
    model = ec.load(module, example_inputs=(torch.zeros(1, 3, 4, 4),))
    return model, find_groups(model.module)


def evidence_of(module: nn.Module, data: list[np.ndarray] | None = None) -> Evidence:
    model, groups = load(module)
    samples = None if data is None else Replay(data, model.inputs, None)
    return Evidence(model, groups, samples)


@functools.cache
def plain() -> Evidence:
    """Of the network as it is made, without data."""
    return evidence_of(make())
