"""What measurements decide, with times that a stand-in makes up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm

import edgecompile as ec
from edgecompile.compress.lowrank import judge
from edgecompile.compress.measuring.timing import Cost
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.frontend.model import Model
from edgecompile.layers import layers_of
from tests.compress.lowrank.graphs import run_torch
from tests.compress.lowrank.test_factorise import DATA, MODEL, SHAPE, TARGET, network

Clock = Callable[[str, int], float]


@dataclass(frozen=True)
class FakeCandidate:
    name: str
    module: tvm.IRModule

    def predict(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [run_torch(self.module, inputs[0])]


class FakeWorkbench:
    """A layer takes what the clock says of its name and its multiply-accumulates, and the model the sum and 1000."""

    unit = "ms"
    clock: Clock
    built: list[str]

    def __init__(self, model: Model, layers: Collection[str], *_: Any) -> None:
        self._layers = layers
        type(self).built = []

    def build(self, name: str, module: tvm.IRModule) -> FakeCandidate:
        self.built.append(name)
        return FakeCandidate(name, module)

    def layer_costs(self, candidates: Sequence[FakeCandidate]) -> list[dict[str, float]]:
        return [
            {layer.name: type(self).clock(layer.name, layer.macs) for layer in layers_of(each.module)
             if layer.name in self._layers}
            for each in candidates
        ]  # fmt: skip

    def compare(self, candidates: Sequence[FakeCandidate]) -> list[Cost]:
        times = [1000 + sum(costs.values()) for costs in self.layer_costs(candidates)]
        return [Cost(time, time, time / times[0]) for time in times]

    def __enter__(self) -> FakeWorkbench:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Clock], None]:
    monkeypatch.setattr(judge, "Workbench", FakeWorkbench)

    def set_clock(function: Clock) -> None:
        monkeypatch.setattr(FakeWorkbench, "clock", staticmethod(function), raising=False)

    set_clock(lambda name, macs: macs)
    return set_clock


def compress(recipe: Any, **options: Any) -> Model:
    return ec.compress(
        MODEL, recipe, target=TARGET, **{"eval": lambda predict: float(predict(DATA[0])[0][0, 0]), **options}
    )


def reasons(model: Model) -> Mapping[str, str]:
    return {decision.subject: decision.reason for decision in model.history[-1].decisions if decision.step != "outcome"}


def outcome(model: Model) -> str:
    found = model.history[-1].outcome
    assert found is not None
    return found.reason


def factorised(model: Model) -> set[str]:
    return {layer.name.removesuffix("_u") for layer in model.layers if layer.name.endswith("_u")}


def test_what_is_faster_ships_with_its_numbers(clock: Callable[[Clock], None]) -> None:
    small = compress("lowrank,params=0.5,method=tucker")
    assert {"first", "second"} <= factorised(small)
    assert " ms in place of " in reasons(small)["first"]
    figures = small.history[-1].figures["first"]
    assert figures["ms"] < figures["ms before"]
    assert "of the time" in outcome(small) and "not by time" not in outcome(small) and "metric" in outcome(small)


def test_a_layer_that_is_no_faster_stays_with_the_numbers(clock: Callable[[Clock], None]) -> None:
    """Others then make up for it; the budget is still met."""
    clock(lambda name, macs: 1e6 if name == "first_u" else macs)
    small = compress("lowrank,params=0.6")
    assert "first" not in factorised(small) and factorised(small)
    assert "is not faster: " in reasons(small)["first"] and "ms in place of" in reasons(small)["first"]
    assert small.params / MODEL.params <= 0.6


def test_another_method_is_tried(clock: Callable[[Clock], None]) -> None:
    """With a clock by which a core costs nothing and all else what it does in work, only tucker can win."""
    clock(lambda name, macs: 1e6 if name in ("first", "second") and macs > 4e4 else 1.0 if "_core" in name else macs)
    small = compress({"steps": [{"kind": "lowrank", "default": {"energy": 0.9}}]})
    assert reasons(small)["first"].startswith(("tucker", "channel", "spatial"))


def test_a_missed_budget_is_said(clock: Callable[[Clock], None]) -> None:
    clock(lambda name, macs: 1e9 if name == "first_u" else macs)
    small = compress("lowrank,params=0.35")
    assert small.params / MODEL.params > 0.35
    assert "the budget params=0.35 is missed" in outcome(small)


def test_nothing_ships_that_is_no_faster_as_a_whole(
    clock: Callable[[Clock], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeWorkbench, "compare", lambda self, candidates: [Cost(2.0, 2.0, 1.0) for _ in candidates])
    same = compress("lowrank,params=0.5")
    assert same.module.same_as(MODEL.module) and not factorised(same)
    assert "nothing is factorised: the model as a whole is not faster, 1.00 of the time (2 -> 2 ms)" in outcome(same)
    assert reasons(same)["first"] == "the model as a whole is not faster"


def test_nothing_is_faster(clock: Callable[[Clock], None]) -> None:
    clock(lambda name, macs: 1e9 if name.endswith("_u") else macs)
    assert "no layer is faster and exact enough" in outcome(compress("lowrank,params=0.5"))


@pytest.mark.parametrize("latency", [0.8, 0.6])
def test_a_budget_of_time(clock: Callable[[Clock], None], latency: float) -> None:
    """Measured, with a clock that runs unlike multiply-accumulates do."""
    clock(lambda name, macs: macs * (0.5 if "_core" in name else 1.5 if "_u" in name else 1.0))
    small = compress(f"lowrank,latency={latency}")
    ratio = float(outcome(small).split(": ")[1].split()[0])
    assert latency * 0.9 <= ratio <= latency * 1.1


def test_a_time_that_cannot_be_met(clock: Callable[[Clock], None]) -> None:
    with pytest.raises(InvalidRecipeError, match=r"latency=0.01 cannot be met: the smallest measured is 0\.\d+"):
        compress("lowrank,latency=0.01", eval=None)


def test_layers_are_given_back_until_the_metric_is_good(clock: Callable[[Clock], None]) -> None:
    """The metric is what is left of the outputs' signal."""
    expected = [run_torch(MODEL.module, sample) for sample in DATA]

    def quality(predict: Any) -> float:
        found = [predict(sample)[0] for sample in DATA]
        error = sum(np.square(a - b).sum() for a, b in zip(found, expected, strict=True))
        return 1 - float(error / sum(np.square(each).sum() for each in expected))

    loose, strict = (compress("lowrank,params=0.3", eval=quality, max_drop=drop) for drop in (1.0, 0.02))
    assert quality(lambda x: [run_torch(loose.module, x)]) < 0.98
    assert quality(lambda x: [run_torch(strict.module, x)]) >= 0.98
    assert factorised(strict) < factorised(loose)
    given_back = next(iter(factorised(loose) - factorised(strict)))
    assert "too inexact: " in reasons(strict)[given_back]


def test_a_wrong_metric_costs_no_minutes(clock: Callable[[Clock], None]) -> None:
    with pytest.raises(InvalidInputError, match="must answer a number"):
        compress("lowrank,params=0.5", eval=lambda predict: predict(DATA[0]) and "good")
    assert FakeWorkbench.built == ["original"]


def test_tables(clock: Callable[[Clock], None], tmp_path: Path) -> None:
    compress("lowrank,params=0.5", eval=None, report=tmp_path)
    assert "| first | yes | " in (tmp_path / "lowrank.md").read_text()
    assert '"ms before"' in (tmp_path / "lowrank.json").read_text()


def test_on_this_machine() -> None:
    """With real compilations and times: the result is what its history says."""
    small = ec.compress(network(), "lowrank,params=0.5", DATA, eval=lambda predict: float(predict(DATA[0])[0][0, 0]))
    (step,) = small.history
    assert step.outcome is not None and " ms)" in step.outcome.reason
    assert bool(factorised(small)) == step.outcome.kept
    assert run_torch(small.module, np.zeros(SHAPE, np.float32)).shape == (1, SHAPE[1])
