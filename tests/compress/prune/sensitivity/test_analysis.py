"""Analyses of pruning: their numbers against those of networks from which the channels were removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.importance import Evidence, scores
from edgecompile.compress.prune.rewrite import remove
from edgecompile.compress.prune.sensitivity.removal import Removal
from edgecompile.compress.sensitivity.analyze import analyze
from edgecompile.compress.sensitivity.grid import SensitivityGrid
from edgecompile.compress.sensitivity.noise import signal_to_noise_db
from edgecompile.errors import InvalidInputError
from edgecompile.frontend.model import Model
from tests.compress.prune.interpret import interpret
from tests.compress.prune.test_find import load


def analyzed(model: Model, x: np.ndarray, recipe: str = "prune,macs=0.5,round_to=1", **options: Any) -> SensitivityGrid:
    found = analyze(model, recipe, [x], **options)
    assert isinstance(found, SensitivityGrid)
    return found


def removal_of(model: Model, groups: Groups) -> Removal:
    """As the recipes here take them."""
    return Removal(groups, scores(groups, "l2", Evidence(model, groups)), most=0.9, round_to=1)


def test_numbers_are_those_without_the_channels(tmp_path: Path) -> None:
    model, x = load("gated")

    def mean(predict: Any) -> float:
        return float(predict([x])[0].mean())

    said: list[tuple[str, int, int | None]] = []
    path = tmp_path / "s.json"
    found = analyzed(model, x, eval=mean, levels=[0.5], out=path, progress=lambda *of: said.append(of))
    assert ("sensitivity", 3, 3) in said
    groups = find_groups(model.module)
    removal = removal_of(model, groups)
    [whole] = interpret(model.module, x)
    assert found.uncompressed.metric == pytest.approx(whole.mean(), abs=1e-6)
    names = [group.name for group in groups]
    assert list(found.layers) == names == ["stem_conv2d", "reduce_conv2d"]
    for chosen, effect in ((names[:1], found.layers[names[0]][0.5]), (names, found.together[0.5])):
        [left] = interpret(remove(model.module, groups, removal.channels(dict.fromkeys(chosen, 0.5))), x)
        assert effect.snr_db == pytest.approx(signal_to_noise_db([[whole]], [[left]]), abs=0.01)
        assert effect.metric == pytest.approx(left.mean(), abs=1e-6)
    again = analyzed(model, x, "prune,ratio=0.1,round_to=1,skip=stem*", eval=mean, levels=[0.25], out=path)
    assert {name: list(levels) for name, levels in again.layers.items()} == {names[0]: [0.5], names[1]: [0.25, 0.5]}
    with pytest.raises(InvalidInputError, match="sensitivities of another samples"):
        analyzed(model, x + 1, eval=mean, out=path)
    with pytest.raises(InvalidInputError, match="sensitivities of another step"):
        analyzed(model, x, "prune,ratio=0.1,importance=random", eval=mean, out=path)


def test_the_least_important_channels_go_first() -> None:
    model, _ = load("gated")
    groups = find_groups(model.module)
    importance = {"stem_conv2d": np.arange(16.0), "reduce_conv2d": np.array([3.0, 1.0, 2.0, 1.0])}

    def gone(round_to: int, **ratios: float) -> dict[str, list[int]]:
        removal = Removal(groups, importance, most=0.9, round_to=round_to)
        return {name: sorted(channels) for name, channels in removal.channels(ratios).items()}

    assert gone(1) == gone(1, reduce_conv2d=0.1) == {}
    assert gone(1, reduce_conv2d=0.25) == {"reduce_conv2d": [1]}
    assert gone(1, reduce_conv2d=0.9) == {"reduce_conv2d": [1, 2, 3]}, "one stays"
    assert gone(1, stem_conv2d=0.2, reduce_conv2d=0.5) == {"stem_conv2d": [0, 1, 2], "reduce_conv2d": [1, 3]}
    assert gone(4, stem_conv2d=0.2) == {"stem_conv2d": [0, 1, 2, 3]}, "12 stay"
    facts = list(Removal(groups, importance, most=0.9, round_to=4).facts())
    assert facts == list(Removal(groups, importance, most=0.9, round_to=4).facts())
    assert facts != list(Removal(groups, importance, most=0.9, round_to=2).facts())
