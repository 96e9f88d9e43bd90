"""What steps may lose: each is judged, and all of them together lose no more than the limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgecompile as ec
from edgecompile.compress.driver import Predict
from edgecompile.compress.measuring.allowance import Allowance
from edgecompile.zoo.digits import accuracy
from tests.compress.networks import network

CALIBRATION = "edgecompile.zoo.digits:calibration"


def outcome(model: ec.Model, step: int) -> tuple[bool, str]:
    found = model.history[step].outcome
    assert found is not None
    return found.kept, found.reason


def test_what_is_left() -> None:
    """Of a metric that each model answers by itself: the share of its weights that are there."""
    before = network()
    values = iter([0.9, 0.85, 0.95, 0.5])
    shape = before.inputs[0].shape

    def metric(predict: Predict) -> float:
        predict([np.zeros(shape, np.float32)])
        return next(values)

    allowance = Allowance(before, metric, 0.1, "host", lambda phase: None)
    other = network()
    assert allowance.left(before) == 0.1
    assert allowance.left(other) == pytest.approx(0.05)
    assert allowance.left(other) == pytest.approx(0.15), "a step that gains leaves more"
    assert allowance.left(other) == 0.0


def test_all_steps_together_lose_no_more_than_the_limit() -> None:
    """The second step alone would be allowed what both together may lose, and is not after the first."""
    model = ec.load("zoo:digits_resnet")
    sparse = "sparse,sparsity=0.8"
    first = ec.compress(model, "prune,macs=0.5", CALIBRATION, eval=accuracy)
    lost = first.history[0].figures["before"]["metric"] - first.history[0].figures["after"]["metric"]
    alone = ec.compress(first, sparse, CALIBRATION, eval=accuracy)
    more = alone.history[1].figures["before"]["metric"] - alone.history[1].figures["after"]["metric"]
    assert lost > 0 and more > lost / 2
    limit = max(lost, more) + min(lost, more) / 2
    found = ec.compress(model, f"prune,macs=0.5+{sparse}", CALIBRATION, eval=accuracy, max_drop=limit)
    assert outcome(found, 0)[0]
    kept, reason = outcome(found, 1)
    assert not kept and f"{limit - lost:.4g}"[:5] in reason


def test_depth_and_sparse_weights_are_judged(tmp_path: Path) -> None:
    model = ec.load("zoo:digits_resnet")
    small = ec.compress(model, "depth,blocks=1+sparse,sparsity=0.5", CALIBRATION, eval=accuracy, report=tmp_path)
    for step, kind in enumerate(("depth", "sparsify")):
        kept, reason = outcome(small, step)
        assert "of the time" in reason and "accuracy" in reason
        table = (tmp_path / f"{kind}.md").read_text()
        assert reason in table and "| bytes |" in table and "| metric |" in table
        figures = small.history[step].figures
        assert kept and figures["after"]["bytes"] < 0.98 * figures["before"]["bytes"]
