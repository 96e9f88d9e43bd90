"""MobileNetV2. Source: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgecompile.zoo.initialize import ConvNorm


class InvertedResidual(nn.Module):
    """Widen by a 1x1 convolution, filter each channel by a 3x3 one, narrow by a 1x1 one without activation."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = channels_in * expansion
        self.adds = stride == 1 and channels_in == channels_out
        layers = [] if expansion == 1 else [ConvNorm(channels_in, width, 1, activation=nn.ReLU6, gain=0.8)]
        layers.append(ConvNorm(width, width, 3, stride, groups=width, activation=nn.ReLU6))
        layers.append(ConvNorm(width, channels_out, 1, activation=None, gain=0.4 if self.adds else 0.8))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, C_in, H, W] to [N, C_out, H / stride, W / stride]."""
        return x + self.layers(x) if self.adds else self.layers(x)


class MobileNetV2(nn.Module):
    """A stem, inverted residuals, a last 1x1 convolution, mean, classifier.

    Args:
        stages: (expansion, channels, blocks, stride of the first block) of each.
    """

    def __init__(
        self,
        channels: int = 3,
        stem: int = 32,
        stages: Sequence[tuple[int, int, int, int]] = (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ),
        last: int = 1280,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNorm(channels, stem, 3, 2, activation=nn.ReLU6)]
        width = stem
        for expansion, out, blocks, stride in stages:
            for index in range(blocks):
                layers.append(InvertedResidual(width, out, stride if index == 0 else 1, expansion))
                width = out
        layers.append(ConvNorm(width, last, 1, activation=nn.ReLU6))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, C, H, W] float32 to logits [N, classes]."""
        return self.classifier(self.pool(self.features(x)).flatten(1))


def small_mobilenet() -> MobileNetV2:
    """A MobileNetV2 for 32x32 images of one channel, 10 classes."""
    return MobileNetV2(1, 16, ((1, 16, 1, 1), (4, 24, 2, 2), (4, 32, 2, 2)), last=128, classes=10)
