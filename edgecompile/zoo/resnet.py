"""Residual networks. Source: He et al., Deep Residual Learning for Image Recognition, 2015."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgecompile.zoo.initialize import ConvNorm


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels_in, channels_out, stride=stride)
        # A small branch beside the shortcut keeps the activations from growing with depth.
        self.conv2 = ConvNorm(channels_out, channels_out, activation=None, gain=0.4)
        changes = stride != 1 or channels_in != channels_out
        self.shortcut = (
            ConvNorm(channels_in, channels_out, 1, stride, activation=None, gain=0.6) if changes else nn.Identity()
        )
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, C_in, H, W] to [N, C_out, H / stride, W / stride]."""
        return self.relu(self.conv2(self.conv1(x)) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, stages of basic blocks that halve the image from the second on, mean, classifier."""

    def __init__(self, stem: nn.Module, widths: Sequence[int], blocks: int, classes: int) -> None:
        super().__init__()
        self.stem = stem
        stages = []
        channels = widths[0]
        for index, width in enumerate(widths):
            first = BasicBlock(channels, width, stride=1 if index == 0 else 2)
            stages.append(nn.Sequential(first, *(BasicBlock(width, width, 1) for _ in range(blocks - 1))))
            channels = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, C, H, W] float32 to logits [N, classes]."""
        return self.classifier(self.pool(self.stages(self.stem(x))).flatten(1))


def resnet18() -> ResNet:
    """ResNet-18 for 224x224 images of three channels, 1,000 classes, 11.7 million parameters."""
    stem = nn.Sequential(ConvNorm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
    return ResNet(stem, (64, 128, 256, 512), blocks=2, classes=1000)


def small_resnet() -> ResNet:
    """A ResNet for 32x32 images of one channel, 10 classes."""
    return ResNet(ConvNorm(1, 16, 3, 2), (16, 32, 64), blocks=1, classes=10)
