"""Elementwise stages that read a value several times, in the kernels of the layer in front of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import edgecompile as ec


class _Gates(torch.nn.Module):
    """Each stage reads the one before twice: copies of copies would be 2^8 of the first."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.gelu(self.layer(x))
        for _ in range(8):
            x = x * torch.sigmoid(x)
        return x


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (torch.nn.Conv2d(16, 24, 3, padding=1), (1, 16, 7, 9)),
        (torch.nn.Conv2d(16, 16, 3, groups=16), (1, 16, 7, 9)),
        (torch.nn.Linear(19, 37), (3, 5, 19)),
    ],
    ids=["convolution", "depthwise", "product"],
)
def test_values_that_are_read_several_times(layer: torch.nn.Module, shape: tuple[int, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = _Gates(layer).eval(), torch.randn(shape)
    compiled = ec.compile(ec.load(network, example_inputs=(x,)), out=tmp_path / "network")
    torch.testing.assert_close(torch.from_numpy(compiled.run(x.numpy())[0]), network(x).detach(), rtol=1e-5, atol=1e-5)
