"""Pruning as a step of a recipe: what it costs a trained network, what fitting gives back, and wrong recipes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import edgecompile as ec
from edgecompile.compress.driver import Predict
from edgecompile.compress.sensitivity.analyze import analyze
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.zoo import digits

CALIBRATION = "edgecompile.zoo.digits:calibration"


@cache
def digits_resnet() -> ec.Model:
    from edgecompile.cli.arguments import load_model

    return load_model("zoo:digits_resnet", (), ())


def accuracy(predict: Predict) -> float:
    return digits.accuracy(lambda image: predict([image])[0])


@cache
def pruned(recipe: str) -> ec.Model:
    """By a recipe, measured; every recipe of this file ships."""
    return ec.compress(digits_resnet(), recipe, data=CALIBRATION, eval=accuracy)


def figure(model: ec.Model, when: str, name: str) -> float:
    return model.history[-1].figures[when][name]


def test_half_the_work_costs_little_accuracy_after_a_fit() -> None:
    small = pruned("prune,macs=0.5")
    assert small.macs <= 0.5 * digits_resnet().macs
    assert figure(small, "before", "metric") - figure(small, "after", "metric") <= 0.03
    assert figure(small, "after", "ms") <= 0.7 * figure(small, "before", "ms")


def test_a_fit_beats_none_and_importance_beats_chance() -> None:
    fitted = figure(pruned("prune,macs=0.5"), "after", "metric")
    biased = figure(pruned("prune,macs=0.5,reconstruct=bias"), "after", "metric")
    plain = figure(pruned("prune,macs=0.5,reconstruct=none"), "after", "metric")
    random = figure(pruned("prune,macs=0.5,importance=random"), "after", "metric")
    assert fitted > biased > plain
    assert fitted > random


def test_what_costs_too_much_is_left_as_it_was() -> None:
    model = ec.compress(
        digits_resnet(), "prune,macs=0.5,reconstruct=none", data=CALIBRATION, eval=accuracy, max_drop=0.01
    )
    assert model.module.same_as(digits_resnet().module)
    outcome = model.history[-1].outcome
    assert outcome is not None
    assert not outcome.kept
    assert "0.01 are allowed" in outcome.reason


def test_rules_of_layers_win_over_the_selection() -> None:
    model = digits_resnet()
    names = [decision.subject for decision in pruned("prune,macs=0.5").history[-1].decisions]
    first, second, *_ = [group.name for group in ec.groups(model)]
    assert first in names
    recipe = {"steps": [{"kind": "prune", "ratio": 0.25, "layers": {first: {"skip": True}, second: {"ratio": 0.5}}}]}
    small = ec.compress(model, recipe)
    channels = {group.name: group.channels for group in ec.groups(model)}
    left = {group.name: group.channels for group in ec.groups(small)}
    assert left[first] == channels[first]
    assert left[second] == channels[second] // 2


def test_the_report_shows_what_stayed(tmp_path: Path) -> None:
    small = ec.compress(digits_resnet(), "prune,macs=0.5,reconstruct=none", report=tmp_path)
    table = (tmp_path / "prune.md").read_text()
    left = {group.name: group.channels for group in ec.groups(small)}
    for group in ec.groups(digits_resnet()):
        assert f"| {group.name} | yes | {group.channels - left[group.name]} of {group.channels} channels go" in table
    assert f"| {small.macs / digits_resnet().macs:.3f} |" in table
    assert (tmp_path / "channels.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_of_sensitivities_decides(tmp_path: Path) -> None:
    model = digits_resnet()
    path = tmp_path / "sensitivity.json"
    found = analyze(model, "prune,ratio=0.5", CALIBRATION, eval=accuracy, out=path, levels=[0.25])
    small = ec.compress(model, f"prune,sensitivity={path},drop=0.01,round_to=1")
    for group in ec.groups(model):
        drop = found.drop(found.layers[group.name][0.25])
        left = next(other.channels for other in ec.groups(small) if other.name == group.name)
        assert (left == round(0.75 * group.channels)) == (drop <= 0.01)
    with pytest.raises(InvalidInputError, match="of another model"):
        ec.compress(small, f"prune,sensitivity={path}")
    with pytest.raises(InvalidInputError, match="there is no file of sensitivities"):
        ec.compress(model, "prune,sensitivity=nothing.json")


def test_steps_compose() -> None:
    model = digits_resnet()
    small = ec.compress(model, "prune,macs=0.6+int8", data=CALIBRATION)
    assert [step.kind for step in small.history] == ["prune", "quantize"]
    assert small.weight_bytes < 0.3 * model.weight_bytes


def wrong(recipe: str, data: Sequence[np.ndarray] | None = None) -> str:
    with pytest.raises((InvalidRecipeError, InvalidInputError)) as caught:
        ec.compress(digits_resnet(), recipe, data=data)
    return str(caught.value)


def test_shapes_come_before_bits() -> None:
    assert "'prune' has to come before 'quantize'" in wrong("int8+prune,ratio=0.5")


def test_wrong_recipes() -> None:
    assert "ratio" in wrong("prune,ratio=1.5")
    assert "less than 1" in wrong("prune,ratio=1.5")
    assert "needed one of ratio" in wrong("prune")
    assert "found macs and params" in wrong("prune,macs=0.5,params=0.5")
    assert "macs=0.0001 cannot be met" in wrong("prune,macs=0.0001")
    assert "the smallest that can is macs=0." in wrong("prune,macs=0.0001")
    found = wrong("prune,ratio=0.5,skip=nothing_*")
    assert "'nothing_*' matches no layer whose channels can go; the nearest are" in found
    assert "'output' is an output of the model" in wrong("prune,ratio=0.5,skip=classifier_matmul")
    assert "skips all" in wrong("prune,ratio=0.5,skip=*")
    assert "importance taylor needs calibration data" in wrong("prune,ratio=0.5,importance=taylor")
    assert "reconstruct=least_squares needs calibration data" in wrong("prune,ratio=0.5,reconstruct=least_squares")
    assert "unknown option 'rato', did you mean 'ratio'" in wrong("prune,rato=0.5")


def test_a_model_without_anything_to_prune() -> None:
    import torch
    from torch import nn

    model = ec.load(nn.Linear(4, 3).eval(), example_inputs=(torch.randn(1, 4),))
    with pytest.raises(InvalidRecipeError, match=r"is an (in|out)put of the model"):
        ec.compress(model, "prune,ratio=0.5")
