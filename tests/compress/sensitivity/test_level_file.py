"""Files of sensitivities with levels, read for a selection: those of something else are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecompile.compress.sensitivity.grid import LevelEffect, SensitivityGrid
from edgecompile.compress.sensitivity.level_file import LevelKind, drops_of, read_levels
from edgecompile.compress.sensitivity.record import Effect, Key
from edgecompile.errors import InvalidInputError

OF = LevelKind(kind="prune", level="ratio", step="pruning", levels="ratios", layer="group")
KEY = Key(model="0" * 64, step="1" * 64, metric="accuracy")


def grid(**changes: object) -> SensitivityGrid:
    plain = SensitivityGrid(name="net", kind="prune", level="ratio", key=KEY, uncompressed=Effect(metric=1.0))
    return plain.model_copy(update={"layers": {"one": {0.5: LevelEffect(metric=0.875)}, "two": {}}, **changes})


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    with pytest.raises(InvalidInputError, match=r"there is no file of sensitivities at .*s\.json: make one by"):
        read_levels(path, OF)
    grid().save(path)
    assert read_levels(path, OF) == grid()
    grid(layers={"one": {1.5: LevelEffect(metric=1.0)}}).save(path)
    with pytest.raises(InvalidInputError, match=r"ratios of pruning must be below 1, found 1\.5 in"):
        read_levels(path, OF)
    grid(kind="lowrank", level="params").save(path)
    with pytest.raises(InvalidInputError, match=r"found those of 'lowrank' in .*--recipe prune,\.\.\."):
        read_levels(path, OF)


def test_a_layer_without_lines_is_left_out() -> None:
    assert drops_of(grid(), 0.0) == {"one": {0.5: 0.125}}


def test_what_cannot_be_told() -> None:
    with pytest.raises(InvalidInputError, match="no metric of 'one'"):
        drops_of(grid(layers={"one": {0.5: LevelEffect(snr_db=3.0)}}), 0.1)
    for limit in (-0.1, float("nan")):
        with pytest.raises(InvalidInputError, match="max_drop must be at least 0"):
            drops_of(grid(), limit)
