"""VGG-16. Source: Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014."""

from __future__ import annotations

import torch
from torch import nn

from edgecompile.zoo.initialize import ConvNorm

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions with biases and no normalisation, three linear layers, 138 million parameters."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, count in _STAGES:
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, 3, 224, 224] float32 to logits [N, classes]."""
        return self.classifier(self.pool(self.features(x)).flatten(1))


_SMALL_STAGES = ((16, 2), (32, 2), (64, 3), (128, 3), (128, 3))


class SmallVGG(nn.Module):
    """VGG-16's thirteen convolutions and three linear layers for 32x32 images of one channel, 10 classes.

    It is a quarter as wide, and normalised, so that it trains in a minute: 0.96 million parameters.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width, count in _SMALL_STAGES:
            for _ in range(count):
                layers.append(ConvNorm(channels, width))
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(128, 128), nn.ReLU(),
            nn.Linear(128, 128), nn.ReLU(),
            nn.Linear(128, classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, 1, 32, 32] float32 to logits [N, classes]."""
        return self.classifier(self.features(x).flatten(1))
