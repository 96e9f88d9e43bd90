"""What choices would take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgecompile.compress.lowrank.choices import Choice
from edgecompile.compress.lowrank.times import Times


def choice(method: str, macs: int) -> Choice:
    named: Any = SimpleNamespace(name=method)
    return Choice(named, (macs,), macs, macs, 0.0)


def test_times_are_learned_by_layer_and_method() -> None:
    ready: Any = SimpleNamespace(
        choices={"a": [], "b": [], "unknown": []},
        costs=lambda what: SimpleNamespace(layers={"a": 1000, "b": 1000, "unknown": 1000}),
    )
    times = Times(ready, {"a": 2.0, "b": 4.0}, 10.0)
    small = choice("tucker", 500)
    assert times.costs.price("a", small) == pytest.approx(1.0)  # as the layer itself
    assert times.costs.share({"a": small, "b": None}) == pytest.approx(0.9)
    times.learn({"a": small, "b": None}, {"a": 1.5})
    assert times.costs.price("a", choice("tucker", 100)) == pytest.approx(0.3)
    assert times.costs.price("a", choice("spatial", 100)) == pytest.approx(0.2)
    assert times.costs.price("b", choice("tucker", 100)) == pytest.approx(0.4)
    assert times.costs.share({"unknown": small}) == 1.0  # nothing is known to be saved there
