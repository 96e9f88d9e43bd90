"""Which residual blocks a module has, and the module without them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edgecompile as ec
from edgecompile.compress.depth.blocks import find_blocks, without_blocks
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from tests.relax_models import run_virtual_machine


class Blocks(nn.Module):
    """A block with a convolution in its shortcut, one inside another, and one whose inside is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.shortcut = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)
        self.one, self.two, self.three, self.four = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = self.one(x) + self.shortcut(x)
        inner = self.two(x)
        x = x + (inner + torch.relu(self.three(inner)))
        shared = self.four(x)
        return (x + shared) * shared


@pytest.fixture(scope="module")
def model() -> ec.Model:
    torch.manual_seed(0)
    return ec.load(Blocks().eval(), example_inputs=(torch.randn(1, 3, 6, 6),))


def test_blocks_are_found_inside_each_other(model: ec.Model) -> None:
    blocks = {block.name: block for block in find_blocks(model.module)}
    assert len(blocks) == 2
    inner, outer = blocks.values()
    assert set(inner.layers) < set(outer.layers)
    assert inner.source == "two"


def test_without_blocks_their_input_passes(model: ec.Model) -> None:
    inner, outer = find_blocks(model.module)
    x = np.random.default_rng(0).normal(size=(1, 3, 6, 6)).astype(np.float32)
    torch.manual_seed(0)
    weights = {name: value.numpy() for name, value in Blocks().state_dict().items()}
    for blocks, uses in (([inner], ("two",)), ([outer], ()), ([inner, outer], ())):
        [found] = run_virtual_machine(without_blocks(model.module, blocks), x)
        np.testing.assert_allclose(found, expected(weights, x, uses), rtol=0, atol=1e-5)


def expected(weights: dict[str, np.ndarray], x: np.ndarray, uses: tuple[str, ...]) -> np.ndarray:
    def conv(name: str, value: torch.Tensor) -> torch.Tensor:
        weight, bias = (torch.from_numpy(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return torch.nn.functional.conv2d(value, weight, bias, padding=weight.shape[2] // 2)

    y = torch.relu(conv("stem", torch.from_numpy(x)))
    y = conv("one", y) + conv("shortcut", y)
    if "two" in uses:
        y = y + conv("two", y)
    shared = conv("four", y)
    return ((y + shared) * shared).numpy()


def test_recipes_that_do_not_fit(model: ec.Model) -> None:
    with pytest.raises(InvalidInputError, match="needs calibration data"):
        ec.compress(model, "depth,blocks=1")
    data = [np.zeros((1, 3, 6, 6), np.float32)]
    with pytest.raises(InvalidRecipeError, match="removes 3 residual blocks, the model has 2"):
        ec.compress(model, "depth,blocks=3", data=data)
    with pytest.raises(InvalidRecipeError, match=r"without all 2 of them 0\.\d+ stay"):
        ec.compress(model, "depth,macs=0.01", data=data)
    with pytest.raises(InvalidRecipeError, match="'nothing' matches no residual block"):
        ec.compress(model, "depth,blocks=1,keep=nothing", data=data)
    with pytest.raises(InvalidRecipeError, match="one of blocks, macs, params, found none"):
        ec.compress(model, "depth", data=data)


def test_a_step_removes_what_changes_least(model: ec.Model) -> None:
    random = np.random.default_rng(1)
    data = [random.normal(size=(1, 3, 6, 6)).astype(np.float32) for _ in range(8)]
    small = ec.compress(model, "depth,blocks=1", data=data)
    assert small.macs < model.macs
    influences = {
        decision.subject: float(decision.reason.rsplit(" ", 1)[-1])
        for decision in small.history[-1].decisions
        if decision.step == "RemoveBlocks"
    }
    [gone] = [d.subject for d in small.history[-1].decisions if d.step == "RemoveBlocks" and d.kept]
    assert gone == min(influences, key=influences.__getitem__)
