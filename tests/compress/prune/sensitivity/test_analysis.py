"""Analyses of pruning: their numbers against those of networks from which the channels were removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecompile.artifact.machine import runs_here
from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.rewrite import remove
from edgecompile.compress.prune.sensitivity.order import Order, l2_norms
from edgecompile.compress.prune.sensitivity.timer import PrunedTimer
from edgecompile.compress.sensitivity.analyze import analyze
from edgecompile.compress.sensitivity.grid import SensitivityGrid
from edgecompile.compress.sensitivity.noise import signal_to_noise_db
from edgecompile.errors import InvalidInputError
from edgecompile.frontend.model import Model
from edgecompile.target import find_target
from tests.compress.prune.test_find import load
from tests.relax_models import run_virtual_machine


def analyzed(model: Model, x: np.ndarray, recipe: str = "prune,macs=0.5", **options: Any) -> SensitivityGrid:
    found = analyze(model, recipe, [x], **options)
    assert isinstance(found, SensitivityGrid)
    return found


def test_numbers_are_those_without_the_channels(tmp_path: Path) -> None:
    model, x = load("gated")

    def mean(predict: Any) -> float:
        return float(predict([x])[0].mean())

    said: list[tuple[str, int, int | None]] = []
    path = tmp_path / "s.json"
    found = analyzed(model, x, eval=mean, levels=[0.5], out=path, progress=lambda *of: said.append(of))
    assert ("sensitivity", 3, 3) in said
    groups = find_groups(model.module)
    order = Order(groups, l2_norms)
    [whole] = run_virtual_machine(model.module, x)
    assert found.uncompressed.metric == pytest.approx(whole.mean(), abs=1e-6)
    names = [group.name for group in groups]
    assert list(found.layers) == names == ["stem_conv2d", "reduce_conv2d"]
    for chosen, effect in ((names[:1], found.layers[names[0]][0.5]), (names, found.together[0.5])):
        [left] = run_virtual_machine(remove(model.module, groups, order.removed(dict.fromkeys(chosen, 0.5))), x)
        assert effect.snr_db == pytest.approx(signal_to_noise_db([[whole]], [[left]]), abs=0.01)
        assert effect.metric == pytest.approx(left.mean(), abs=1e-6)
    again = analyzed(model, x, "prune,ratio=0.1,skip=stem*", eval=mean, levels=[0.25], out=path)
    assert {name: list(levels) for name, levels in again.layers.items()} == {names[0]: [0.5], names[1]: [0.25, 0.5]}
    with pytest.raises(InvalidInputError, match="sensitivities of another samples"):
        analyzed(model, x + 1, eval=mean, out=path)


def test_the_least_important_channels_go_first() -> None:
    model, _ = load("gated")
    groups = find_groups(model.module)
    norms = l2_norms(groups)
    by_name = {tensor.name: tensor for tensor in groups.program.constants.values() if tensor.rank == 4}
    reads, makes = (_array(by_name, layer) for layer in ("expand_conv2d", "reduce_conv2d"))
    expected = np.sqrt(np.square(makes).sum((1, 2, 3)) + np.square(reads).sum((0, 2, 3)))
    np.testing.assert_allclose(norms["reduce_conv2d"], expected, rtol=1e-6)
    order = Order(groups, lambda groups: {"reduce_conv2d": np.array([3.0, 1.0, 2.0, 1.0])})
    assert [list(order.removed({"reduce_conv2d": ratio}).get("reduce_conv2d", [])) for ratio in RATIOS] == [
        [],
        [1],
        [1, 3],
        [1, 3, 2],  # one stays
    ]


RATIOS: Sequence[float] = (0.1, 0.25, 0.5, 0.99)


def _array(tensors: dict[str, Any], layer: str) -> np.ndarray:
    """The weight that a layer reads."""
    [tensor] = (tensor for name, tensor in tensors.items() if name.startswith(layer) and tensor.shape[0] > 1)
    array: np.ndarray = tensor.constant.value.numpy()
    return array


def test_times_of_a_target_that_cannot_run_here_are_estimated() -> None:
    target = next(found for name in ("rpi5", "host,vector_bytes=64") if not runs_here(found := find_target(name)))
    model, x = load("residual")
    groups = find_groups(model.module)
    with PrunedTimer(model, groups, Order(groups, l2_norms), target, {"x": x}) as timer:
        assert timer.is_estimated
        names = [group.name for group in groups]
        times = [timer.time(dict.fromkeys(names, ratio)) for ratio in (0.01, 0.5, 0.75)]
    assert times[0] == 1 > times[1] > times[2] > 0
