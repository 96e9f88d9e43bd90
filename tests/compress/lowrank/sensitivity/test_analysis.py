"""Analyses of ranks: their numbers against those of networks of the factors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import edgecompile as ec
from edgecompile.compress.sensitivity.analyze import analyze
from edgecompile.compress.sensitivity.grid import SensitivityGrid
from edgecompile.compress.sensitivity.noise import signal_to_noise_db
from edgecompile.errors import InvalidInputError
from edgecompile.frontend.model import Model
from tests.compress.lowrank.graphs import run_torch
from tests.compress.lowrank.sensitivity.networks import TARGET, images, network

MODEL, DATA = network(), images(4)


def total(predict: Any) -> float:
    return float(predict([DATA[0]])[0].sum())


def analyzed(recipe: str = "lowrank,params=0.5", model: Model = MODEL, **options: Any) -> SensitivityGrid:
    found = analyze(model, recipe, DATA, **{"target": TARGET, "eval": total, **options})
    assert isinstance(found, SensitivityGrid)
    return found


def test_numbers_are_those_of_the_factors(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    said: list[tuple[str, int, int | None]] = []
    found = analyzed(levels=[0.6, 0.3], out=path, progress=lambda *of: said.append(of))
    assert (found.kind, found.level) == ("lowrank", "params")
    assert {name: list(levels) for name, levels in found.layers.items()} == {"stem": [0.6], "wide": [0.3, 0.6]}
    assert ("sensitivity", 5, 5) in said
    assert found.uncompressed.metric == pytest.approx(run_torch(MODEL.module, DATA[0]).sum(), abs=1e-5)
    whole = [[run_torch(MODEL.module, x)] for x in DATA]
    # A file in which one line is tolerable makes the step ship just what that line is about.
    chosen = found.model_copy(update={"layers": {"wide": {0.3: found.layers["wide"][0.3]}}})
    chosen.save(tmp_path / "one.json")
    recipe = f"lowrank,sensitivity={tmp_path / 'one.json'},drop=100,reconstruct=none"
    small = ec.compress(MODEL, recipe, DATA, target=TARGET)
    [decision] = [decision for decision in small.history[-1].decisions if decision.subject == "wide"]
    effect = found.layers["wide"][0.3]
    assert effect.form and decision.reason.startswith(f"{effect.form}: ")
    assert small.params < MODEL.params
    left = [[run_torch(small.module, x)] for x in DATA]
    assert effect.snr_db == pytest.approx(signal_to_noise_db(whole, left), abs=0.02)
    assert effect.metric == pytest.approx(left[0][0].sum(), abs=1e-4)


def test_what_is_known_is_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    first = analyzed(levels=[0.6], out=path)
    again = analyzed("lowrank,macs=0.9,skip=stem", levels=[0.3, 0.6], out=path)
    assert list(again.layers) == ["wide", "stem"]
    assert list(again.layers["wide"]) == [0.3, 0.6]
    assert (again.layers["wide"][0.6], again.layers["stem"]) == (first.layers["wide"][0.6], first.layers["stem"])
    assert again.together.keys() == {0.6}, "one layer that is not skipped has no together"
    for recipe, options, different in (
        ("lowrank,params=0.5,method=tucker", {}, "step"),
        ("lowrank,params=0.5", {"target": "host,vector_bytes=32"}, "step"),
        ("lowrank,params=0.5", {"samples": 3}, "samples"),
        ("lowrank,params=0.5", {"model": network(seed=1)}, "model"),
        ("prune,ratio=0.5", {}, "kind of step"),
    ):
        with pytest.raises(InvalidInputError, match=f"has sensitivities of another {different}: name another"):
            analyzed(recipe, out=path, **options)


def test_times() -> None:
    found = analyzed(levels=[0.6], eval=None, timed=True)
    assert found.target.startswith("host")
    assert all(0 < (effect.time or 0) < 10 for levels in found.layers.values() for effect in levels.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": [0.5, 1.0]}, "shares of parameters to analyze must be above 0 and below 1, found 1"),
        ({"levels": [float("nan")]}, "above 0 and below 1, found nan"),
        ({"levels": []}, "above 0 and below 1, found none"),
        ({"levels": [0.01]}, "no layer has ranks that leave at most 0.01 of its parameters, in multiples of 4"),
    ],
)
def test_levels_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        analyzed(**options)


def test_tables_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="lowrank has no use for a calibration table"):
        analyze(MODEL, "lowrank,params=0.5", None, table="t.json", eval=total)
