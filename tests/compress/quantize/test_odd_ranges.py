"""Calibration data and weights at the edge of what has a scale: the artifact is right all the same."""

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

METHODS = ("min_max", "moving_average", "percentile", "mse", "kl")
NOISE = np.random.default_rng(3).standard_normal((1, 3, 8, 8)).astype(np.float32)
DATA = {
    "zeros": 0 * NOISE,
    "constant": 0 * NOISE + np.float32(2.5),
    "negative constant": 0 * NOISE - np.float32(2.5),
    "positive": np.abs(NOISE),
    "negative": -np.abs(NOISE),
    "far from zero": 100 + NOISE,
    "tiny": np.float32(1e-37) * NOISE,
    "huge": np.float32(1e30) * NOISE,
    "one outlier": np.where(np.arange(NOISE.size).reshape(NOISE.shape) == 7, np.float32(1e4), NOISE),
}


def network(*, bias: bool = True) -> Model:
    """Two convolutions and a dense layer; the first convolution's channel 1 has no weights, its channel 2 tiny ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = nn.Conv2d(3, 8, 3, padding=1, bias=bias)
        module = nn.Sequential(
            first, nn.ReLU(), nn.Conv2d(8, 6, 3, stride=2, bias=bias), nn.Flatten(), nn.Linear(54, 5, bias=bias)
        )
    with torch.no_grad():
        first.weight[1] = 0
        first.weight[2] *= 1e-30
    return ec.load(module.eval(), example_inputs=torch.zeros(1, 3, 8, 8), name="odd")


@pytest.mark.parametrize("name", DATA)
def test_every_method_with_odd_data(name: str, tmp_path: Path) -> None:
    """Near the float answer, and the artifact has the reference's bits; methods that agree are compiled once."""
    model, sample = network(bias=name not in ("tiny", "huge")), DATA[name]
    (exact,) = ec.compile(model, out=tmp_path / "float").run(sample)
    seen = set()
    for method in METHODS:
        small = ec.compress(model, f"int8,calibration={method}", [sample, sample])
        module = eliminate_dead_code()(FuseIntegerOperators()(small.module, []), [])
        expected = run_reference(module, [sample])[0]
        # These two cut the largest of so few values off, which is what they are for.
        if method not in ("percentile", "kl"):
            assert np.abs(expected - exact).max() <= 0.05 * np.abs(exact).max(), (method, expected, exact)
        if expected.tobytes() not in seen:
            seen.add(expected.tobytes())
            (found,) = ec.compile(small, out=tmp_path / method).run(sample)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("granularity", ["per_channel", "per_tensor"])
def test_layers_without_weights(granularity: str, tmp_path: Path) -> None:
    """All weights zero: the answer is the last bias."""
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    for layer in (layers[0], layers[3]):
        nn.init.zeros_(layer.weight)
    bias = layers[3].bias.detach().numpy().copy()
    model = ec.load(nn.Sequential(*layers).eval(), example_inputs=torch.zeros(1, 1, 8, 8), name="empty")
    image = NOISE[:, :1]
    small = ec.compress(model, f"int8,granularity={granularity}", [image])
    (found,) = ec.compile(small, out=tmp_path).run(image)
    np.testing.assert_allclose(found[0], bias, rtol=0, atol=np.abs(bias).max() / 100)
