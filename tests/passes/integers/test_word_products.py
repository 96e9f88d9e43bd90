"""Products of int16 activations: exact sums by bytes, the reference's bits, and the words' precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgecompile as ec
from edgecompile.frontend.model import Model
from edgecompile.integer.reference import run_reference
from edgecompile.passes.integers import FuseIntegerOperators
from edgecompile.passes.pipeline import eliminate_dead_code

RECIPE = "int8,activations=int16,symmetric"
X = np.random.default_rng(0).standard_normal((1, 3, 12, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    """Weights are whole multiples of a step, so that activations alone are rounded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 20, 3, padding=1), nn.ReLU(), nn.Conv2d(20, 13, 3, stride=2), nn.ReLU()]
        layers += [nn.Conv2d(13, 13, 3, groups=13, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(13 * 5 * 5, 7)]
        for layer in layers:
            if hasattr(layer, "weight"):
                steps = torch.randint(-127, 128, layer.weight.shape)
                steps.view(len(steps), -1)[:, 0] = 127
                layer.weight = nn.Parameter(steps / 512)
    return ec.load(nn.Sequential(*layers).eval(), example_inputs=torch.zeros(1, 3, 12, 12), name="words")


def fused(small: Model) -> list[np.ndarray]:
    return run_reference(eliminate_dead_code()(FuseIntegerOperators()(small.module, []), []), [X])


def test_bits_and_precision(model: Model, tmp_path: Path) -> None:
    (exact,) = ec.compile(model, out=tmp_path / "float").run(X)
    errors = {}
    for recipe in ("int8", RECIPE):
        small = ec.compress(model, recipe, [X])
        (found,) = ec.compile(small, out=tmp_path / recipe).run(X)
        np.testing.assert_array_equal(found, fused(small)[0])
        errors[recipe] = np.abs(found - exact).max() / np.abs(exact).max()
    assert errors[RECIPE] < errors["int8"] / 100


@pytest.mark.board
def test_the_same_bits_on_an_emulated_board(model: Model, tmp_path: Path) -> None:
    small = ec.compress(model, RECIPE, [X])
    ec.compile(small, "rpi4", out=tmp_path / "board")
    with ec.open(tmp_path / "board", emulate=True) as board:
        np.testing.assert_array_equal(board.run(X)[0], fused(small)[0])


def test_extremes_do_not_overflow(tmp_path: Path) -> None:
    """Sums of words at their ends leave 32 bits; theirs of bytes do not."""
    layer = nn.Linear(3000, 4, bias=False)
    with torch.no_grad():
        layer.weight[:] = torch.tensor([1.0, -1.0, 0.5, 0.0])[:, None]
    model = ec.load(layer.eval(), example_inputs=torch.zeros(1, 3000), name="wide")
    for sign in (1, -1):
        x = np.full((1, 3000), sign, np.float32)
        (found,) = ec.compile(ec.compress(model, RECIPE, [x]), out=tmp_path / str(sign)).run(x)
        np.testing.assert_allclose(found[0], sign * 3000 * np.array([1, -1, 0.5, 0]), rtol=5e-3, atol=0)


def test_one_recipe_may_mix_widths(model: Model, tmp_path: Path) -> None:
    rules = {"operators": {"matmul": {"activations": {"dtype": "int16", "symmetric": True}}}}
    small = ec.compress(model, {"steps": [{"kind": "quantize", **rules}]}, [X])
    (found,) = ec.compile(small, out=tmp_path).run(X)
    np.testing.assert_array_equal(found, fused(small)[0])
    text = small.module.script()
    assert text.count('out_dtype="int16"') == 1 and text.count('out_dtype="int8"') == 3
