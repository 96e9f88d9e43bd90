"""Scales found at run time, from recipe to artifact: the same bits on every device, no data, mixtures, refusals."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgecompile as ec
from edgecompile import zoo
from edgecompile.compress.model_file import read_model, write_model
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.frontend.model import Model
from edgecompile.integer.reference import run_reference
from edgecompile.passes.integers import FuseIntegerOperators
from edgecompile.passes.pipeline import eliminate_dead_code
from edgecompile.zoo.sentences import WAYS, comparable_sentences, encode
from tests.compress.networks import network
from tests.integer import test_dynamic

COLUMNS = 8 * 37 + 1
RAMP = np.linspace(-1, 1, COLUMNS, dtype=np.float32)
PER_TENSOR = "int8-dynamic,scales=per_tensor"


class Products(nn.Module):
    """Two products of one tensor, whose results are integer sums times two scales: no addition rounds.

    The weights of the second are more than half of a first-level cache, so the next ones are fetched ahead.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(COLUMNS, 23, bias=False)
        self.second = nn.Linear(COLUMNS, 128, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x [13, COLUMNS]."""
        return self.first(x), self.second(x)


@pytest.fixture(scope="module")
def products() -> Model:
    return ec.load(Products().eval(), example_inputs=torch.randn(13, COLUMNS))


@pytest.fixture(scope="module")
def bert() -> Model:
    return ec.load("zoo:bert_tiny")


def odd_rows() -> np.ndarray:
    """`[13, COLUMNS]`: whatever a row can hold."""
    rows = np.tile(test_dynamic.odd_rows(), 9)[:, :COLUMNS].copy()
    rows[4] = np.clip(rows[4], -1e36, 1e36)  # sums stay finite
    return rows


def dynamic(model: Model) -> Model:
    return ec.compress(model, "int8-dynamic")


def count(model: Model) -> Counter[str]:
    return Counter(layer.operator for layer in model.layers)


def expected(model: Model, x: np.ndarray) -> list[np.ndarray]:
    """What the arithmetic in NumPy answers."""
    module = eliminate_dead_code()(FuseIntegerOperators()(model.module, []), [])
    with np.errstate(invalid="ignore", over="ignore"):
        return run_reference(module, [x])


def signal_to_noise(got: np.ndarray, want: np.ndarray) -> float:
    """In dB."""
    return float(10 * np.log10((want**2).mean() / ((got - want) ** 2).mean()))


@pytest.mark.parametrize("recipe", ["int8-dynamic", PER_TENSOR])
@pytest.mark.parametrize("target", ["host", "host,vector_bytes=32", "host,vector_bytes=16"])
def test_bits(products: Model, recipe: str, target: str, tmp_path: Path) -> None:
    model = ec.compress(products, recipe)
    artifact = ec.compile(model, target, out=tmp_path / "net")
    usable = odd_rows()[[0, 1, 2, 3, 6, 10, 11] * 2][:13]
    for x in (odd_rows(), usable):
        for got, want in zip(artifact.run(x), expected(model, x), strict=True):
            np.testing.assert_array_equal(got, want)
    kernels = Counter(d.reason for step in artifact.report.steps for d in step.decisions)
    assert kernels == {"rows": 1, "integer product": 2}


@pytest.mark.board
@pytest.mark.parametrize("target", ["rpi4", "rpi5"])
def test_bits_on_an_emulated_board(products: Model, target: str, tmp_path: Path) -> None:
    model = dynamic(products)
    ec.compile(model, target, out=tmp_path / "net")
    with ec.open(tmp_path / "net", emulate=True) as board:
        for got, want in zip(board.run(odd_rows()), expected(model, odd_rows()), strict=True):
            np.testing.assert_array_equal(got, want)


def test_only_rows_with_bad_numbers_are_bad(products: Model, tmp_path: Path) -> None:
    artifact = ec.compile(dynamic(products), out=tmp_path / "net")
    got, _ = artifact.run(odd_rows())
    np.testing.assert_array_equal(np.isnan(got).all(axis=1), [row in (7, 8, 9, 12) for row in range(13)])
    assert np.isfinite(got[[0, 1, 2, 3, 5, 6, 10, 11]]).all() and not got[[1, 5]].any()


def test_language_network(bert: Model, tmp_path: Path) -> None:
    """No data; inputs of several products are quantized once; biases, GELU and residual sums join the products."""
    model = dynamic(bert)
    # In each of two layers: the input, what attention gives, and both of the feed-forward network; then the pooler.
    assert count(model)["edgecompile.quantize_rows"] == 2 * 4 + 1
    write_model(model, tmp_path / "model.ec")
    again = read_model(tmp_path / "model.ec")
    artifacts = [ec.compile(m, out=tmp_path / name) for name, m in (("a", model), ("b", again), ("f", bert))]
    inputs = list(bert.sample_inputs.values())
    results = [artifact.run(*inputs) for artifact in artifacts]
    for got, same, want in zip(*results, strict=True):
        np.testing.assert_array_equal(got, same)
        assert signal_to_noise(got, want) > 30
    products = [step for step in artifacts[0].report.steps if step.decisions[-1].reason == "integer product"]
    assert len(products) == 2 * 6 + 1
    assert sum("nn.gelu" in step.operators for step in products) == 2
    assert not any(step.kernel.startswith(("multiply", "cast")) for step in artifacts[0].report.steps)
    assert artifacts[0].verify().ok


@pytest.mark.board
def test_language_network_on_an_emulated_board(bert: Model, tmp_path: Path) -> None:
    ec.compile(dynamic(bert), "rpi5", out=tmp_path / "board")
    inputs = list(bert.sample_inputs.values())
    host = ec.compile(bert, out=tmp_path / "host").run(*inputs)
    with ec.open(tmp_path / "board", emulate=True) as board:
        for got, want in zip(board.run(*inputs), host, strict=True):
            assert signal_to_noise(got, want) > 30


def test_sentences_keep_their_meaning(tmp_path: Path) -> None:
    """A pretrained encoder: cosines to float of 0.997 on average and the same neighbours; by one scale 0.985."""
    inputs = [encode(sentence) for sentence in comparable_sentences()]
    model = ec.load(zoo.trained("minilm"), example_inputs=tuple(map(torch.from_numpy, inputs[0])))
    artifacts = [ec.compile(m, out=tmp_path / name) for name, m in (("float", model), ("int8", dynamic(model)))]
    real, rounded = (np.concatenate([artifact.run(*x)[0] for x in inputs]) for artifact in artifacts)
    similar = (real * rounded).sum(1)  # all have length 1
    assert similar.mean() > 0.996 and similar.min() > 0.993
    nearest = [(x @ x.T - 2 * np.eye(len(inputs))).argmax(1) for x in (real, rounded)]
    np.testing.assert_array_equal(nearest[1] // WAYS, np.arange(len(inputs)) // WAYS)
    assert np.mean(nearest[0] == nearest[1]) > 0.94


def test_a_file_is_read_where_nothing_was_quantized_before(products: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.ec"
    write_model(dynamic(products), path)
    code = f"from edgecompile.compress.model_file import read_model; print(read_model({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "quantize: 2 of 2 decisions changed a layer" in done.stdout, done.stderr


def test_static_and_dynamic_layers_of_one_tensor(products: Model, tmp_path: Path) -> None:
    """What the static layer's range cuts off, the dynamic one still has."""
    rule = {"activations": {"mode": "dynamic"}, "calibration": None}
    recipe = {"steps": [{"kind": "quantize", "layers": {"second*": rule}}]}
    narrow, wide = (np.full((13, COLUMNS), value, np.float32) * RAMP for value in (1, 10))
    model = ec.compress(products, recipe, [narrow])
    found = count(model)
    assert (found["edgecompile.quantize_rows"], found["quantize"]) == (1, 1)
    first, second = ec.compile(model, out=tmp_path / "mixed").run(wide)
    plain = ec.compile(products, out=tmp_path / "float").run(wide)
    np.testing.assert_array_equal(second, expected(dynamic(products), wide)[1])
    assert signal_to_noise(second, plain[1]) > 30 > 5 > signal_to_noise(first, plain[0])


def test_static_layers_need_data_still(products: Model) -> None:
    recipe = {"steps": [{"kind": "quantize", "layers": {"second*": {"activations": {"mode": "dynamic"}}}}]}
    with pytest.raises(InvalidInputError, match="needs calibration data or a table, found neither"):
        ec.compress(products, recipe)


def test_convolutions_are_told_why_they_stay_float() -> None:
    model = ec.load(nn.Conv2d(3, 4, 3).eval(), example_inputs=torch.randn(1, 3, 8, 8))
    with pytest.raises(InvalidRecipeError, match=r"changed nothing: .*scales at run time are for matrix products"):
        ec.compress(model, "int8-dynamic")


def test_shapes_that_are_not_known_stay_float() -> None:
    with pytest.raises(InvalidRecipeError, match=r"scales at run time are for shapes that are known at compile time"):
        dynamic(network("n"))


@pytest.mark.parametrize(
    ("activations", "message"),
    [
        ({"granularity": "per_row"}, "scales per row are found at run time; set activations.mode to dynamic"),
        ({"mode": "dynamic", "dtype": "int16", "symmetric": True}, "dynamic activations have 8 bits, found int16"),
    ],
)
def test_combinations_that_mean_nothing(products: Model, activations: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRecipeError, match=message):
        ec.compress(products, {"steps": [{"kind": "quantize", "default": {"activations": activations}}]})
