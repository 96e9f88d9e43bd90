"""The code of the convolution templates for ARM, in the emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edgecompile as ec


class Branches(nn.Module):
    """Two results side by side, in the place where both are wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(7, 16, 1), nn.Conv2d(16, 32, 3, 1, 1), nn.Conv2d(48, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        return self.last(torch.cat([first, self.second(first)], dim=1))


class OddConvolutions(nn.Module):
    """Independent convolutions of one input, so that one library holds them all."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(7, 13, 3, 1, 1),
                nn.Conv2d(7, 17, (5, 2), (2, 3), (3, 1)),
                nn.Conv2d(7, 31, 3, (3, 1), (1, 2), dilation=(1, 2)),
                nn.Conv2d(7, 16, 1),
                nn.Sequential(nn.Conv2d(7, 32, 3, 2, 1), nn.ReLU6(), nn.Conv2d(32, 24, 1), nn.SiLU()),
                nn.Sequential(nn.Conv2d(7, 32, 1), nn.Conv2d(32, 48, 3, padding=1), nn.Hardswish()),
                nn.Sequential(nn.Conv2d(7, 20, 1), nn.Conv2d(20, 20, 3, 2, 1, groups=20), nn.Hardswish()),
                nn.Sequential(nn.Conv2d(7, 48, 1), nn.Conv2d(48, 48, 3, 2, 1, groups=24), nn.ReLU()),
                nn.Sequential(nn.Conv2d(7, 34, 1), nn.Conv2d(34, 62, 3, 1, 2, groups=2), nn.Hardswish()),
                nn.Sequential(nn.Conv2d(7, 13, 1), nn.Conv2d(13, 39, 5, 2, 2, groups=13)),
                nn.Sequential(nn.Conv2d(7, 24, 1), nn.ConvTranspose2d(24, 17, 3, 2, 1, 1), nn.ReLU()),
                nn.Sequential(nn.Conv2d(7, 16, 1), nn.ConvTranspose2d(16, 20, (2, 5), (3, 2), 1)),
                nn.Sequential(nn.Conv2d(7, 31, 1), nn.MaxPool2d(3, 2, 1), nn.SiLU()),
                nn.Sequential(nn.Conv2d(7, 24, 1), nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
                nn.Sequential(nn.Conv2d(7, 24, 1), nn.AdaptiveAvgPool2d(1)),
                nn.Sequential(nn.Conv2d(7, 24, 1), nn.Upsample((17, 31), mode="bilinear"), nn.ReLU()),
                nn.Sequential(nn.Conv2d(7, 31, 1), nn.Upsample(scale_factor=2), nn.ReLU()),
                Branches(),
            ]
        )
        self.linear = nn.Linear(15, 21)

    def forward(self, x: torch.Tensor) -> tuple[Any, ...]:
        return (*(layer(x) for layer in self.layers), self.linear(x), x.permute(0, 2, 3, 1).contiguous())


@pytest.mark.board
@pytest.mark.parametrize("target", ["rpi4", "armv7-neon"])
def test_odd_sizes_on_a_board(target: str, tmp_path: Path) -> None:
    module = OddConvolutions().eval()
    x = torch.randn(2, 7, 13, 15)
    ec.compile(ec.load(module, example_inputs=x), target=target, out=tmp_path / "net")
    artifact = ec.open(tmp_path / "net", emulate=True)
    with torch.no_grad():
        expected = module.double()(x.double())
    for got, want in zip(artifact.run(x.numpy()), expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=0, atol=1e-5)
    templates = {decision.reason for step in artifact.report.steps for decision in step.decisions}
    expected = {
        *("direct convolution", "packed product", "depthwise convolution", "Winograd convolution"),
        *("grouped convolution", "transposed convolution", "pooling", "resizing"),
        *("layout conversion", "transposition"),
    }
    assert expected <= templates
