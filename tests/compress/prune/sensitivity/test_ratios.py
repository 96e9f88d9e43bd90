"""From sensitivities to how much of each group may go."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from edgecompile.compress.prune.sensitivity import ratios_for
from edgecompile.compress.sensitivity.grid import LevelEffect, SensitivityGrid
from edgecompile.compress.sensitivity.record import Effect, Key
from edgecompile.errors import InvalidInputError

KEY = Key(model="0" * 64, step="1" * 64, metric="accuracy")


def grid(drops: Mapping[str, Mapping[float, float | None]], **changes: object) -> SensitivityGrid:
    """Of a model with the metric 1."""
    layers = {
        name: {ratio: LevelEffect(metric=None if drop is None else 1 - drop) for ratio, drop in levels.items()}
        for name, levels in drops.items()
    }
    plain = SensitivityGrid(name="net", kind="prune", level="ratio", key=KEY, uncompressed=Effect(metric=1.0))
    return plain.model_copy(update={"layers": layers, **changes})


@pytest.mark.parametrize(
    ("drops", "max_drop", "ratio"),
    [
        ({0.25: 0.0, 0.5: 0.01, 0.75: 0.03}, 0.02, 0.625),  # between two
        ({0.25: 0.04, 0.5: 0.1}, 0.01, 0.0625),  # before the first
        ({0.25: 0.0, 0.5: 0.01}, 0.02, 0.5),  # no further than was measured
        ({0.25: 0.04, 0.5: 0.0}, 0.02, 0.125),  # the limit was passed before
        ({0.25: 0.0, 0.5: 0.02}, 0.0, 0.25),
        ({0.25: -0.02, 0.5: 0.02}, 0.0, 0.375),  # it became better at first
        ({0.5: 0.5}, 0.0, 0.0),
    ],
)
def test_the_largest_within_the_limit(drops: dict[float, float | None], max_drop: float, ratio: float) -> None:
    assert ratios_for(grid({"one": drops}), max_drop) == pytest.approx({"one": ratio})


def test_a_group_without_lines_is_left_out() -> None:
    assert ratios_for(grid({"one": {0.5: 0.0}, "two": {}}), 0.01) == {"one": 0.5}


def test_what_cannot_be_told() -> None:
    with pytest.raises(InvalidInputError, match="no metric of 'one'"):
        ratios_for(grid({"one": {0.25: 0.0, 0.5: None}}), 0.01)
    for limit in (-0.1, float("nan")):
        with pytest.raises(InvalidInputError, match="max_drop must be at least 0"):
            ratios_for(grid({"one": {0.5: 0.0}}), limit)
