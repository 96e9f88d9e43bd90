"""Each level of each layer, kept in a file: what is known is not measured again, nor is it overwritten."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecompile.compress.sensitivity.grid import LevelEffect, SensitivityGrid, read_grid
from edgecompile.compress.sensitivity.measure_grid import GridJob, measure_grid
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.compress.sensitivity.record import Effect, Key
from edgecompile.errors import InvalidInputError

ERRORS = {"first": 0.1, "second": 0.01}
SAMPLES = [{"x": np.full(4, value, np.float32)} for value in (1.0, 2.0)]
KEY = Key(model="0" * 64, step="1" * 64, metric="mean")
CELLS = [{"first": 0.25}, {"first": 0.5}, {"second": 0.5}, {"first": 0.5, "second": 0.5}]


class Counted:
    """Remembers what it was asked, and stops after some of it, as an interruption would."""

    def __init__(self, stops_after: int = 100) -> None:
        self.asked: list[dict[str, float]] = []
        self._stops_after = stops_after

    def ask(self, levels: Mapping[str, float]) -> float:
        if len(self.asked) == self._stops_after:
            raise KeyboardInterrupt
        self.asked.append(dict(levels))
        return sum(ERRORS[layer] * level for layer, level in levels.items())


class Doubles(Counted):
    """`y = x + error * level`, added up over the layers."""

    def predict(self, levels: Mapping[str, float]) -> Any:
        error = np.float32(self.ask(levels))
        return lambda inputs: [inputs[0] + error]


class Clock(Counted):
    """Ten times the error less than 1."""

    def __init__(self, target: str = "host", stops_after: int = 100) -> None:
        super().__init__(stops_after)
        self.target, self.is_estimated = target, False

    def time(self, levels: Mapping[str, float]) -> float:
        return 1 - 5 * self.ask(levels)


def mean(predict: Any) -> float:
    return 1 - float(predict([np.zeros(4, np.float32)])[0].mean())


def job(path: Path | None, clock: Clock | None = None) -> GridJob:
    return GridJob(
        start=SensitivityGrid(name="net", kind="prune", level="ratio", key=KEY, uncompressed=Effect()),
        levels={"first": [0.25, 0.5], "second": [0.5]},
        together=[0.5],
        samples=SAMPLES,
        metric=Metric(mean),
        timer=clock,
        path=path,
    )


def measure(variants: Doubles, path: Path | None, clock: Clock | None = None) -> SensitivityGrid:
    return measure_grid(job(path, clock), variants, lambda title, done, total: None)


def test_each_level_and_all_together() -> None:
    variants = Doubles()
    found = measure(variants, None)
    assert variants.asked == [{}, *CELLS]
    assert [(layer, list(levels)) for layer, levels in found.layers.items()] == [
        ("first", [0.25, 0.5]),
        ("second", [0.5]),
    ]
    assert found.drop(found.layers["first"][0.25]) == pytest.approx(0.025)
    assert found.drop(found.together[0.5]) == pytest.approx(0.055)
    assert found.layers["first"][0.5].snr_db == pytest.approx(10 * np.log10(2.5 / 0.05**2), abs=1e-2)
    assert found.layers["first"][0.5].time is None


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    whole = measure(Doubles(), None, Clock())
    with pytest.raises(KeyboardInterrupt):
        measure(Doubles(stops_after=3), path, Clock())
    rest, clock = Doubles(), Clock(stops_after=1)
    with pytest.raises(KeyboardInterrupt):
        measure(rest, path, clock)
    assert rest.asked == [{}, *CELLS[2:]]
    assert clock.asked == CELLS[:1]
    nothing, others = Doubles(), Clock()
    assert measure(nothing, path, others) == whole == read_grid(path)
    assert nothing.asked == [{}]
    assert others.asked == CELLS[1:]
    assert whole.layers["first"][0.5].time == 0.75


def test_times_of_another_target_replace_those_that_were(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    measure(Doubles(), path, Clock())
    again = measure(Doubles(), path)
    assert again.layers["first"][0.5].time == 0.75, "none were asked for, so they stay"
    variants, clock = Doubles(), Clock("rpi5")
    found = measure(variants, path, clock)
    assert (found.target, variants.asked, clock.asked) == ("rpi5", [{}], CELLS)


def test_what_a_person_changed_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    measure(Doubles(), path)
    lines = path.read_text().splitlines(keepends=True)
    removed = next(line for line in lines if line.startswith('      "0.25"'))
    changed = LevelEffect(metric=0.5)
    measured = read_grid(path)
    assert measured is not None
    path.write_text("".join(line for line in lines if line != removed))
    edited = read_grid(path)
    assert edited is not None
    edited.changed("second", 0.5, changed).changed("third", 0.5, changed).save(path)
    variants = Doubles()
    found = measure(variants, path)
    assert variants.asked == [{}, CELLS[0]]
    assert found.layers["first"] == measured.layers["first"]
    assert found.layers["second"] == found.layers["third"] == {0.5: changed}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": KEY.model_copy(update={"model": "2" * 64, "samples": "3" * 64})}, "another model and samples: name"),
        ({"kind": "lowrank", "level": "rank"}, "another kind of step"),
    ],
)
def test_another_model_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    measure(Doubles(), path)
    text = path.read_text()
    wanted = job(path)
    with pytest.raises(InvalidInputError, match=message):
        measure_grid(
            dataclasses.replace(wanted, start=wanted.start.model_copy(update=change)), Doubles(), lambda *of: None
        )
    assert path.read_text() == text


def test_another_evaluation_of_the_same_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    measure(Doubles(), path)
    halved = dataclasses.replace(job(path), metric=Metric(lambda predict: mean(predict) / 2))
    with pytest.raises(InvalidInputError, match=r"gave 1\.0 of the uncompressed model, and now gives 0\.5"):
        measure_grid(halved, Doubles(), lambda *of: None)
