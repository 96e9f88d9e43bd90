"""Channels that a mask hides, against the same channels removed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edgecompile as ec
from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.rewrite import remove
from edgecompile.compress.prune.sensitivity.masked import mask_of, masked
from edgecompile.frontend.model import Model
from tests.compress.prune.test_find import load
from tests.relax_models import run_virtual_machine


class Correlated(nn.Module):
    """Channels that a product of two activations sums over, and that come back by a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.turn, self.leave = nn.Linear(6, 10), nn.Linear(10, 10), nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.sigmoid(self.enter(x))
        x = x + torch.softmax(x @ x.transpose(1, 2), -1) @ self.turn(x)
        return self.leave(x)


def correlated() -> tuple[Model, np.ndarray]:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6)
    return ec.load(Correlated().eval(), example_inputs=(x,)), x.numpy()


@pytest.mark.parametrize("name", ["residual", "joined", "attention", "correlated"])
def test_masks_compute_what_is_left(name: str) -> None:
    model, x = correlated() if name == "correlated" else load(name)
    groups = find_groups(model.module)
    assert len(groups)
    generator = np.random.default_rng(2)
    removed = {g.name: generator.permutation(g.channels)[: g.channels // 2] for g in groups}
    hidden = masked(model.module, groups)
    [expected] = run_virtual_machine(remove(model.module, groups, removed), x)
    [found] = run_virtual_machine(hidden, x, mask_of(groups, removed))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    if name == "correlated":
        [whole] = run_virtual_machine(model.module, x)
        [found] = run_virtual_machine(hidden, x, mask_of(groups, {}))
        np.testing.assert_array_equal(found, whole)


def test_no_more_masks_than_sums() -> None:
    model, _ = load("attention")
    text = masked(model.module, find_groups(model.module)).script(show_meta=False)
    # In front of the two products with weights that read channels of a group; heads stay apart until then.
    assert text.count("R.multiply(") == 2
