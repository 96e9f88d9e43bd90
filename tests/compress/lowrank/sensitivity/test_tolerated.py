"""From sensitivities to how few parameters each layer has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import edgecompile as ec
from edgecompile.compress.lowrank.layers import weighted_layers
from edgecompile.compress.lowrank.recipe import LowRankStep
from edgecompile.compress.lowrank.sensitivity.tolerated import tolerated_shares
from edgecompile.compress.sensitivity.grid import LevelEffect, SensitivityGrid
from edgecompile.compress.sensitivity.record import Effect, Key, model_checksum
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from tests.compress.lowrank.sensitivity.networks import TARGET, images, network

MODEL = network()


def saved(path: Path, drops: Mapping[str, Mapping[float, float]], **changes: object) -> Path:
    """A file of the model with the metric 1."""
    layers = {name: {at: LevelEffect(metric=1 - drop) for at, drop in levels.items()} for name, levels in drops.items()}
    key = Key(model=model_checksum(MODEL), step="1" * 64, metric="accuracy")
    plain = SensitivityGrid(name="net", kind="lowrank", level="params", key=key, uncompressed=Effect(metric=1.0))
    plain.model_copy(update={"layers": layers, **changes}).save(path)
    return path


def shares(path: Path, drop: float) -> dict[str, float]:
    step = LowRankStep(sensitivity=str(path), drop=drop)
    return tolerated_shares(MODEL, step, weighted_layers(MODEL))


@pytest.mark.parametrize(
    ("drops", "max_drop", "share"),
    [
        ({0.25: 0.03, 0.5: 0.01, 0.75: 0.0}, 0.02, 0.5),  # the next was measured, and is too much
        ({0.25: 0.03, 0.5: 0.01, 0.75: 0.0}, 0.03, 0.25),
        ({0.25: 0.0, 0.5: 0.03, 0.75: 0.0}, 0.02, 0.75),  # the limit was passed before
        ({0.25: -0.01}, 0.0, 0.25),
        ({0.5: 0.03, 0.75: 0.03}, 0.02, 1.0),
    ],
)
def test_the_least_within_the_limit(drops: dict[float, float], max_drop: float, share: float, tmp_path: Path) -> None:
    assert shares(saved(tmp_path / "s.json", {"wide": drops, "stem": {}}), max_drop) == {"wide": share}


def test_layers_become_what_the_file_allows(tmp_path: Path) -> None:
    path = saved(tmp_path / "s.json", {"wide": {0.5: 0.0, 0.3: 0.5}, "stem": {0.6: 0.5}})
    small = ec.compress(MODEL, f"lowrank,sensitivity={path},reconstruct=none", images(4), target=TARGET)
    reasons = {decision.subject: (decision.kept, decision.reason) for decision in small.history[-1].decisions}
    figures = small.history[-1].figures
    assert list(figures) == ["wide"]
    assert figures["wide"]["parameters"] <= 0.5 * figures["wide"]["parameters before"]
    assert reasons["stem"] == (False, "it loses more than the drop allows at each share that was measured")
    assert reasons["narrow"] == (False, "the recipe says nothing of its rank")
    ruled = {
        "kind": "lowrank",
        "sensitivity": str(path),
        "layers": {"wide": {"skip": True}, "stem": {"rank": 4, "method": "channel"}},
    }
    other = ec.compress(MODEL, {"steps": [ruled]}, images(4), target=TARGET)
    assert list(other.history[-1].figures) == ["stem"], "rules win"
    with pytest.raises(InvalidRecipeError, match=r"changed nothing: .*loses more than the drop allows"):
        ec.compress(MODEL, f"lowrank,sensitivity={path},drop=0,skip=wide", images(4), target=TARGET)


def test_a_share_that_no_rank_reaches(tmp_path: Path) -> None:
    path = saved(tmp_path / "s.json", {"wide": {0.01: 0.0}})
    with pytest.raises(InvalidRecipeError, match=r"no rank that is left has at most 0\.01 of its parameters"):
        ec.compress(MODEL, f"lowrank,sensitivity={path}", target=TARGET)


def test_files_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    with pytest.raises(InvalidInputError, match=r"there is no file of sensitivities at .*--recipe lowrank,\.\.\."):
        shares(path, 0.1)
    for changes, message in (
        ({"kind": "prune", "level": "ratio"}, "needed sensitivities of lowrank, found those of 'prune' in"),
        ({"key": Key(model="0" * 64, step="1" * 64)}, "has the sensitivities of another model: analyze this one"),
        ({"uncompressed": Effect()}, "no metric of 'wide', so that no drop can be told: analyze with --eval"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            shares(saved(path, {"wide": {0.5: 0.0}}, **changes), 0.1)
    with pytest.raises(InvalidInputError, match="has the layer 'wild', which the model has not: remove it"):
        shares(saved(path, {"wild": {0.5: 0.0}}), 0.1)
    with pytest.raises(InvalidInputError, match=r"shares of parameters of lowrank must be below 1, found 1\.5 in"):
        shares(saved(path, {"wide": {1.5: 0.0}}), 0.1)
