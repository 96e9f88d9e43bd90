"""Softmax in integers is refused where a mask stands among the scores; in float, masked tokens weigh nothing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgecompile as ec
from edgecompile.frontend.model import Model
from edgecompile.integer import operators

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec")
TOKENS, WIDTH = 7, 16


class Attention(nn.Module):
    """One head; the mask is added to the scores."""

    def __init__(self, masked: float, *, by_product: bool = False) -> None:
        super().__init__()
        self.masked, self.by_product = masked, by_product
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.result = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x [1, T, W]; mask [1, T] float, one where a token takes part."""
        if self.by_product:
            added = (1.0 - mask[:, None, :]) * self.masked
        else:
            added = torch.where(mask[:, None, :] > 0, 0.0, self.masked)
        scores = self.query(x) @ self.key(x).transpose(-1, -2) + added
        return self.result(scores.softmax(-1) @ self.value(x))


def samples(padded: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    mask = np.ones((1, TOKENS), np.float32)
    mask[:, TOKENS - padded :] = 0
    return [(rng.standard_normal((1, TOKENS, WIDTH), np.float32), mask) for _ in range(3)]


def compressed(masked: float, *, by_product: bool = False, padded: int = 0) -> Model:
    """The model of an `Attention`, calibrated with so many masked tokens."""
    torch.manual_seed(0)
    data = samples(padded)
    example = tuple(torch.from_numpy(array) for array in data[0])
    model = ec.load(Attention(masked, by_product=by_product).eval(), example_inputs=example, name="attention")
    return ec.compress(model, "int8,attention,nonlinear=integer", data)


def integer_softmaxes(model: Model) -> int:
    return [layer.operator for layer in model.layers].count(operators.SOFTMAX)


LOWEST = float(np.finfo(np.float32).min)


@pytest.mark.parametrize(
    ("masked", "by_product", "padded", "reason"),
    [
        (-math.inf, False, 0, "sum with a mask"),
        (LOWEST, True, 0, "sum with a mask"),
        (LOWEST / 2, False, 2, "down to -1.7"),
        (-10000.0, True, 2, "down to -1"),
    ],
)
def test_a_mask_keeps_softmax_float(masked: float, by_product: bool, padded: int, reason: str, tmp_path: Path) -> None:
    small = compressed(masked, by_product=by_product, padded=padded)
    assert integer_softmaxes(small) == 0
    refused = [d for d in small.history[-1].decisions if "softmax" in d.subject and "stays float" in d.reason]
    assert len(refused) == 1 and not refused[0].kept and reason in refused[0].reason
    (x, mask), (other, _), *_ = samples(padded=3)
    kept = TOKENS - 3
    other[:, :kept] = x[:, :kept]
    artifact = ec.compile(small, out=tmp_path / "small")
    first, second = (artifact.run(tokens, mask)[0][:, :kept] for tokens in (x, other))
    np.testing.assert_array_equal(first, second)  # tokens that do not take part weigh nothing at all


def test_small_offsets_of_scores_are_no_mask() -> None:
    small = compressed(-4.0, by_product=True, padded=2)
    assert integer_softmaxes(small) == 1


def test_a_mask_that_calibration_saw_as_infinite_keeps_softmax_float() -> None:
    with pytest.warns(UserWarning, match="NaN or infinite"):
        small = compressed(-math.inf, padded=2)
    assert integer_softmaxes(small) == 0
