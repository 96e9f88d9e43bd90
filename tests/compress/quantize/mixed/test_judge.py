"""Mixed precision from recipe to artifact: what spoils the metric is freed, what does not pay is not shipped."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgecompile as ec
from edgecompile import zoo
from edgecompile.artifact.artifact import Artifact
from edgecompile.cli.program import run_program
from edgecompile.compress.measuring.timing import Cost
from edgecompile.compress.quantize.mixed.step import STEP
from edgecompile.decision import OUTCOME_STEP
from edgecompile.errors import InvalidInputError
from edgecompile.frontend.model import CompressionStep, Model
from edgecompile.zoo.digits import accuracy, calibration

SPOILED = "stages_1_0_conv1_0"
PER_TENSOR = "int8,granularity=per_tensor"


@pytest.fixture(scope="module")
def spoiled() -> Model:
    """The digits ResNet with a weight of 1,000 in a channel that ReLU makes zero: it is the scale of a whole layer."""
    module = zoo.trained("digits_resnet")
    convolution, norm = list(module.stages[1][0].conv1.children())[:2]
    with torch.no_grad():
        convolution.weight[3] = 0
        convolution.weight[3, 0, 1, 1] = 1000
        norm.weight[3], norm.bias[3], norm.running_mean[3], norm.running_var[3] = 1, -1e6, 0, 1
    return ec.load(module, example_inputs=torch.zeros(1, 1, 32, 32))


@pytest.fixture(scope="module")
def small() -> Model:
    """Two convolutions and a product, with random weights."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 7 * 7, 10),
    ).eval()
    return ec.load(module, example_inputs=torch.zeros(1, 1, 16, 16))


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that no other work on the machine changes: int8 layers take half, a model by the size of its weights."""

    def time_in_turns(artifacts: Sequence[Artifact], sample: object) -> list[Cost]:
        sizes = [artifact.manifest.weight_bytes for artifact in artifacts]
        return [Cost(size, size, size / sizes[0]) for size in sizes]

    def time_layers(artifacts: Sequence[Artifact], layers: Collection[str], sample: object) -> list[dict[str, float]]:
        return [dict.fromkeys(layers, 1 / number) for number, _ in enumerate(artifacts, 1)]

    workbench = "edgecompile.compress.measuring.workbench"
    monkeypatch.setattr(f"{workbench}.time_in_turns", time_in_turns)
    monkeypatch.setattr(f"{workbench}.time_layers", time_layers)


IMAGES = np.random.default_rng(0).standard_normal((6, 1, 1, 16, 16)).astype(np.float32)


def outcome(record: CompressionStep) -> str:
    assert record.outcome is not None
    return record.outcome.reason


def reasons(record: CompressionStep) -> dict[str, tuple[bool, str]]:
    return {choice.subject: (choice.kept, choice.reason) for choice in record.decisions if choice.step == STEP}


@pytest.mark.usefixtures("steady")
def test_exactly_the_spoiled_layer_is_freed(spoiled: Model, tmp_path: Path) -> None:
    model = ec.compress(spoiled, PER_TENSOR, calibration(16), eval=accuracy, max_drop=0.01)
    (record,) = model.history
    found = reasons(record)
    assert {name for name, (_, reason) in found.items() if reason.startswith("too inexact")} == {SPOILED}
    assert not found[SPOILED][0]
    figures = record.figures[SPOILED]
    assert figures["metric drop"] > 0.3
    assert figures["SNR dB"] < 10
    assert (figures["float ms"], figures["int8 ms"]) == (1.0, 0.5)
    assert {name for name, (kept, _) in found.items() if not kept} == {SPOILED}
    assert outcome(record).startswith("mixed ships: ")
    with ec.compile(model, out=tmp_path / "mixed") as mixed:
        assert accuracy(lambda x: mixed.run(x)[0]) >= 0.98
        # The artifact knows how it came to be.
        (entry,) = mixed.report.compression
        assert entry.figures[SPOILED] == figures
        assert [choice.step for choice in entry.decisions[:2]] == [OUTCOME_STEP, STEP]


def test_what_is_neither_faster_nor_smaller_ships_float(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metric is constant, so that only time and size speak."""
    monkeypatch.setattr("edgecompile.compress.quantize.mixed.worth.FASTER", 0.0)
    monkeypatch.setattr("edgecompile.compress.quantize.mixed.worth.SMALLER", 0.0)
    model = ec.compress(small, "int8", list(IMAGES), eval=lambda predict: len(predict(IMAGES[0])), max_drop=0.0)
    assert model.module.same_as(small.module)
    (record,) = model.history
    assert outcome(record).startswith("nothing pays, float ships: ")
    assert "is neither faster nor smaller" in outcome(record)
    assert str(model).endswith(f"quantize: {outcome(record)}")
    assert not any(choice.kept for choice in record.decisions)
    assert all(figures["metric drop"] == 0 for figures in record.figures.values())
    assert all(figures["float ms"] > 0 and figures["int8 ms"] > 0 for figures in record.figures.values())


def test_an_evaluation_that_gives_no_number(small: Model) -> None:
    def broken(predict: Any) -> float:
        return float(predict(IMAGES[0])[0].sum() * np.nan)

    with pytest.raises(InvalidInputError, match="broken must answer a finite number, found nan"):
        ec.compress(small, "int8", list(IMAGES), eval=broken, max_drop=0.1)


METRIC = """
import numpy as np
first = []
def strict(predict):
    image = np.random.default_rng(0).standard_normal((1, 1, 16, 16)).astype(np.float32)
    first.append(predict([image])[0])
    return float(np.allclose(first[0], first[-1], atol=1e-6))
def data():
    return [np.random.default_rng(seed).standard_normal((1, 1, 16, 16)).astype(np.float32) for seed in range(4)]
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_float_that_ships_is_no_failure(
    small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "strict_metric.py").write_text(METRIC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    from edgecompile.compress.model_file import write_model

    write_model(small, tmp_path / "net.ec")
    options = ("--calib", "strict_metric:data", "--eval", "strict_metric:strict", "--max-drop", "0", "-o", "small.ec")
    assert run_program(["compress", "net.ec", "-r", "int8", *options]).status == 0
    line = "nothing pays, float ships: no choice of layers keeps the metric within 0 of 1 (all int8: 0)"
    assert line in capsys.readouterr().out.splitlines()
    assert run_program(["compile", "small.ec", "-o", "net"]).status == 0
    assert ec.open("net").manifest.reference_tolerance == 1e-4, "what ships is no lossy model"
    capsys.readouterr()
    assert run_program(["explain", "net"]).status == 0
    assert line in capsys.readouterr().out.splitlines()
    assert run_program(["explain", "net", "--json"]).status == 0
    (entry,) = json.loads(capsys.readouterr().out)["compression"]
    assert all("SNR dB" in numbers for numbers in entry["figures"].values())
