"""Static int8 for transformers: what stays float by default, and attention and its neighbours in integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgecompile as ec
from edgecompile.decision import Decision
from edgecompile.frontend.model import Model
from edgecompile.integer import operators

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec")
LAYERS = 2


@pytest.fixture(scope="module")
def model() -> Model:
    return ec.load("zoo:bert_tiny")


@pytest.fixture(scope="module")
def samples(model: Model) -> list[tuple[np.ndarray, np.ndarray]]:
    rng, shape = np.random.default_rng(0), model.inputs[0].shape
    return [(rng.integers(0, 900, shape), np.ones(shape, np.int64)) for _ in range(4)]


@pytest.fixture(scope="module")
def integer(model: Model, samples: list[tuple[np.ndarray, np.ndarray]]) -> Model:
    return ec.compress(model, "int8,attention,nonlinear=integer", samples)


def _decisions(model: Model, text: str) -> list[Decision]:
    return [found for found in model.history[-1].decisions if text in found.subject]


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_defaults(model: Model, samples: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Attention and the sums in front of normalizations stay float; the products with weights do not."""
    found = ec.compress(model, "int8", samples).history[-1].decisions
    kept = [decision.subject for decision in found if decision.kept and decision.subject.endswith("matmul")]
    reasons = [decision.reason for decision in found if not decision.kept]
    assert len(kept) == 6 * LAYERS + 1  # and the pooler
    assert sum("two activations" in reason for reason in reasons) == 2 * LAYERS
    assert sum("nothing that reads its result is quantized" in reason for reason in reasons) == 2 * LAYERS


def test_integers_on_the_host_and_on_a_board(
    model: Model, integer: Model, samples: list[tuple[np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    names = [layer.operator for layer in integer.layers]
    assert names.count(operators.SOFTMAX) == LAYERS
    assert names.count(operators.LAYER_NORM) == 2 * LAYERS + 1
    assert not {"nn.softmax", "nn.layer_norm"} & set(names)
    plain = ec.compile(model, out=tmp_path / "plain")
    small = ec.compile(integer, out=tmp_path / "small")
    ec.compile(integer, "rpi5", out=tmp_path / "board")
    with ec.open(tmp_path / "board", emulate=True) as board:
        for sample in samples[:2]:
            found, expected = small.run(*sample)[0], plain.run(*sample)[0]
            assert _cosine(found, expected) > 0.998
            # What stays float is rounded by each target's own functions, a few steps of int8 follow.
            assert _cosine(found, board.run(*sample)[0]) > 0.9995
