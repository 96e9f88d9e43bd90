"""Files of sensitivities with levels: one line for each, and what a person changes is what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecompile.compress.sensitivity.grid import LevelEffect, SensitivityGrid, read_grid
from edgecompile.compress.sensitivity.record import Effect, Key, Sensitivity
from edgecompile.errors import InvalidInputError

KEY = Key(model="0" * 64, step="1" * 64, metric="mean")


def grid() -> SensitivityGrid:
    """Two layers; the levels come out of order."""
    found = SensitivityGrid(name='a "net"', kind="prune", level="ratio", key=KEY, uncompressed=Effect(metric=0.75))
    for layer, level, metric in (("two", 0.5, 0.5), ("one", 0.5, 0.625), ("one", 0.25, 0.75), (None, 0.5, 0.0)):
        found = found.changed(layer, level, LevelEffect(metric=metric))
    return found.changed("two", 0.5, LevelEffect(metric=0.5, snr_db=12.5, time=0.875)).ordered(["one", "two"])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    grid().save(path)
    assert read_grid(path) == grid()
    assert list(grid().layers) == ["one", "two"]
    assert list(grid().layers["one"]) == [0.25, 0.5]
    assert grid().drop(grid().layers["two"][0.5]) == 0.25
    assert '      "0.5": {"snr_db": 12.5, "metric": 0.5, "time": 0.875}' in path.read_text().splitlines()
    empty = SensitivityGrid(name="n", kind="prune", level="ratio", key=KEY, uncompressed=Effect())
    empty.save(path)
    assert read_grid(path) == empty


def test_edited_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    grid().save(path)
    text = path.read_text()
    line = '      "0.25": {"metric": 0.75},\n'
    assert line in text
    path.write_text(text.replace(line, "").replace('"metric": 0.625', '"metric": 0.7'))
    edited = read_grid(path)
    assert edited is not None
    assert edited.layers["one"] == {0.5: LevelEffect(metric=0.7)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"metric": 0.625}', '"metric": 0.625},', r"Invalid JSON: trailing comma at line 17 column 5\): mend it"),
        ('"metric": 0.625}', '"metrc": 0.625}', r"at layers.one.0.5.metrc\)"),
        ('"0.25": ', '"a quarter": ', r"at layers.one.a quarter"),
        ('"0.25": ', '"-0.25": ', r"at layers.one.-0.25"),
        ('"metric": 0.625}', '"metric": NaN}', r"is no file of sensitivities"),
        ('"time": 0.875', '"time": 0', r"at layers.two.0.5.time\)"),
    ],
)
def test_a_broken_line_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    grid().save(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InvalidInputError, match=message):
        read_grid(path)


def test_a_file_of_the_other_kind(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    Sensitivity(name="n", kind="quantize", key=KEY, uncompressed=Effect()).save(path)
    with pytest.raises(InvalidInputError, match="is no file of sensitivities"):
        read_grid(path)
    assert read_grid(tmp_path / "none.json") is None


def test_times_of_another_target_go() -> None:
    plain = grid().model_copy(update={"target": "rpi5", "is_estimated": True}).without_times()
    assert (plain.target, plain.is_estimated) == ("", False)
    assert plain.layers["two"][0.5] == LevelEffect(metric=0.5, snr_db=12.5)
