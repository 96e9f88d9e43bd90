"""Weights that behave like trained ones: activations of sane size, and normalisation statistics worth folding."""

from __future__ import annotations

import torch
from torch import nn


def initialize(module: nn.Module) -> nn.Module:
    """Draws every weight anew from PyTorch's current generator.

    Convolution channels differ in scale by a factor of up to about eight, as trained ones do (it is what makes
    per-channel quantization matter); the statistics of the batch normalisation behind one carry the same factors.
    """
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.normal_(child.weight, std=child.in_features**-0.5)
            if child.bias is not None:
                nn.init.normal_(child.bias, std=0.02)
        elif isinstance(child, nn.Embedding):
            nn.init.normal_(child.weight, std=0.5)
        elif isinstance(child, nn.LayerNorm):
            nn.init.uniform_(child.weight, 0.5, 1.5)
            nn.init.normal_(child.bias, std=0.1)
        elif isinstance(child, nn.Conv2d):
            # Half of a ReLU's output is zero: the factor 2 keeps the size of the activations.
            nn.init.normal_(child.weight, std=(2 / child.weight[0].numel()) ** 0.5)
            if child.bias is not None:
                nn.init.normal_(child.bias, std=0.02)
    for child in module.modules():
        if isinstance(child, ConvNorm):
            child.randomize()
    return module


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch normalisation, and an activation unless that is None."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        groups: int = 1,
        activation: type[nn.Module] | None = nn.ReLU,
        gain: float = 1.0,
    ) -> None:
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        layers: list[nn.Module] = [
            nn.Conv2d(
                channels_in,
                channels_out,
                size,
                stride,
                padding=((size[0] - 1) // 2, (size[1] - 1) // 2),
                groups=groups,
                bias=False,
            ),
            nn.BatchNorm2d(channels_out),
        ]
        if activation is not None:
            layers.append(activation())
        super().__init__(*layers)
        self._gain = gain

    @torch.no_grad()
    def randomize(self) -> None:
        """Gives each channel a scale of its own and the normalisation the statistics that undo it, roughly."""
        conv, norm = self[0], self[1]
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None and norm.running_var is not None
        scale = torch.exp(0.5 * torch.randn(conv.out_channels))
        conv.weight.mul_(scale.view(-1, 1, 1, 1))
        norm.running_mean.copy_(0.2 * scale * torch.randn_like(scale))
        norm.running_var.copy_(scale.square() * torch.empty_like(scale).uniform_(0.7, 1.4))
        nn.init.uniform_(norm.weight, 0.6 * self._gain, 1.4 * self._gain)
        nn.init.normal_(norm.bias, std=0.1)
