"""Parts of a gradual pruning, which together do what one step does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import edgecompile as ec
from edgecompile.compress.prune.gradual import Gradual
from edgecompile.compress.prune.recipe import PruneStep
from edgecompile.errors import InvalidRecipeError
from edgecompile.frontend.model import CompressionStep, Model


@pytest.fixture(scope="module")
def network() -> Model:
    return ec.load("zoo:digits_resnet")


def _step(**data: Any) -> PruneStep:
    return PruneStep.model_validate({"kind": "prune", "reconstruct": "none", **data})


def _at_once(model: Model, step: PruneStep) -> Model:
    return ec.compress(model, ec.Recipe(steps=(step,)))


def _in_parts(model: Model, step: PruneStep, count: int) -> list[Model]:
    schedule, models = Gradual(model, step, count), [model]
    for number in range(1, count + 1):
        part = schedule.part(models[-1], number)
        models.append(models[-1] if part is None else _at_once(models[-1], part))
    return models[1:]


@pytest.mark.parametrize(
    "data",
    [
        {"ratio": 0.5},
        {"ratio": 0.25, "round_to": 4},
        {"layers": {"stages_*": {"ratio": 0.5}, "stages_2*": {"skip": True}}},
        {"operators": {"nn.conv2d": {"ratio": 0.5}}},
    ],
)
def test_ratios_end_where_one_step_does(network: Model, data: dict[str, Any]) -> None:
    step = _step(**data)
    sizes = [model.macs for model in _in_parts(network, step, 6)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1] == _at_once(network, step).macs


@pytest.mark.parametrize(("name", "share", "count"), [("macs", 0.5, 4), ("macs", 0.9, 8), ("params", 0.3, 5)])
def test_budgets_are_met_and_little_more(network: Model, name: str, share: float, count: int) -> None:
    found = [
        getattr(model, name) / getattr(network, name) for model in _in_parts(network, _step(**{name: share}), count)
    ]
    for number, left in enumerate(found, start=1):
        assert left <= 1 - (1 - (1 - number / count) ** 3) * (1 - share) + 1e-9
    assert found[-1] > share - 0.06  # channels come in multiples


def test_budget_and_ratios(network: Model) -> None:
    last = _in_parts(network, _step(macs=0.6, layers={"stem_0": {"ratio": 0.25}}), 3)[-1]
    assert 0.54 < last.macs / network.macs <= 0.6
    assert ec.groups(last)["stem_0"].channels == 12


def test_latency_goes_on_from_what_was_measured(network: Model) -> None:
    schedule = Gradual(network, _step(latency=0.5), 2)
    first = schedule.part(network, 1)
    assert first is not None
    assert first.latency == pytest.approx(0.5625)
    assert schedule.part(network, 2).latency == pytest.approx(0.5 / 0.5625)  # type: ignore[union-attr]
    for ratio, left in ((0.8, 0.625), (0.52, 0.5 / 0.52)):
        record = CompressionStep("prune", {}, (), {"latency": {"ratio": ratio}})
        second = schedule.part(replace(network, history=(*network.history, record)), 2)
        assert second is not None
        assert second.latency == pytest.approx(left)
    record = CompressionStep("prune", {}, (), {"latency": {"ratio": 0.49}})
    assert schedule.part(replace(network, history=(*network.history, record)), 2) is None


@pytest.mark.parametrize(
    ("data", "count", "message"),
    [
        ({"ratio": 0.25}, 0, "at least 1 step, found 0"),
        ({"sensitivity": "s.json"}, 2, "sensitivities are of the whole model"),
        ({"ratio": 0.5, "selection": "global"}, 2, r"needs a budget or selection=uniform, found ratio=0\.5 by global"),
        ({"ratio": 0.95}, 2, r"at most 0\.9 of a group's channels may go"),
        ({"layers": {"nothing_*": {"ratio": 0.5}}}, 2, r"the pattern 'nothing_\*' matches no layer"),
    ],
)
def test_what_has_no_parts_is_refused(network: Model, data: dict[str, Any], count: int, message: str) -> None:
    with pytest.raises(InvalidRecipeError, match=message):
        Gradual(network, _step(**data), count)
