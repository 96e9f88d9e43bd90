"""The code of the row and attention templates for ARM, in the emulator."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import edgecompile as ec

HEADS, WIDTH = 3, 10


class OddRows(nn.Module):
    """Normalisations, reductions and attention of rows that no vector divides."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.LayerNorm(3 * HEADS * WIDTH)
        self.rms = nn.RMSNorm(3 * HEADS * WIDTH)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """x [N, T, 3 * HEADS * WIDTH]."""
        query, key, value = x.unflatten(2, (3, HEADS, WIDTH)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        rows = (self.norm(x), self.rms(x), functional.softmax(x, -1), functional.log_softmax(x, -1), x.amax(-1))
        return (mixed.transpose(1, 2).flatten(2), *rows, torch.tanh(x), functional.softplus(x))


@pytest.mark.board
@pytest.mark.parametrize("target", ["rpi4", "armv7-neon"])
def test_odd_rows_on_a_board(target: str, tmp_path: Path) -> None:
    module = OddRows().eval()
    x = torch.randn(2, 37, 3 * HEADS * WIDTH)
    ec.compile(ec.load(module, example_inputs=x), target=target, out=tmp_path / "net")
    artifact = ec.open(tmp_path / "net", emulate=True)
    with torch.no_grad():
        expected = copy.deepcopy(module).double()(x.double())
    for got, want in zip(artifact.run(x.numpy()), expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=0, atol=4e-6)
    templates = {decision.reason for step in artifact.report.steps for decision in step.decisions}
    assert {"attention", "rows"} <= templates
