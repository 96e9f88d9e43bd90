"""A depthwise-separable CNN for spoken keywords.

Source: Zhang et al., Hello Edge: Keyword Spotting on Microcontrollers, 2017.
"""

from __future__ import annotations

import torch
from torch import nn

from edgecompile.zoo.initialize import ConvNorm


class KeywordSpottingNet(nn.Module):
    """A 10x4 convolution and four depthwise-separable ones on 49 frames of 10 cepstral coefficients."""

    def __init__(self, channels: int = 64, blocks: int = 4, classes: int = 12) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNorm(1, channels, (10, 4), (2, 2))]
        for _ in range(blocks):
            layers += [ConvNorm(channels, channels, 3, groups=channels), ConvNorm(channels, channels, 1)]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, 1, 49, 10] float32 to logits [N, classes]."""
        return self.classifier(self.pool(self.features(x)).flatten(1))
