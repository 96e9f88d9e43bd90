"""Budgets of time, on this machine and estimated for others."""

from __future__ import annotations

import numpy as np
import pytest

import edgecompile as ec
from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.costs import Costs
from edgecompile.compress.prune.rewrite import kept_without, remove
from edgecompile.compress.prune.selection.comparison import comparison, unit_of
from edgecompile.compress.prune.selection.latency import TimedChoice, select_for_latency
from edgecompile.compress.prune.selection.rounding import vector_multiple
from edgecompile.compress.prune.selection.selection import Budget, Selection
from edgecompile.errors import InvalidRecipeError
from edgecompile.target import find_target

MODEL = ec.load("zoo:digits_resnet")
GROUPS = find_groups(MODEL.module)
COSTS = Costs(MODEL.module, GROUPS)


def select(target: str, ratio: float) -> TimedChoice:
    device = find_target(target)
    generator = np.random.default_rng(0)
    return select_for_latency(
        MODEL,
        GROUPS,
        {group.name: generator.random(group.channels) for group in GROUPS},
        COSTS,
        Selection(budget=Budget("latency", ratio), round_to=vector_multiple(device)),
        target=device,
        sample={},
        progress=lambda phase: None,
    )


def test_the_time_on_this_machine_is_what_was_asked_for() -> None:
    found = select("host", 0.75)
    assert found.unit == unit_of(find_target("host")) == "ms"
    assert found.is_near and len(found.timings) <= 6
    with comparison(MODEL, find_target("host"), {}, lambda phase: None) as compare:
        _, again = compare(remove(MODEL.module, GROUPS, found.removed), "again")
    assert again.ratio == pytest.approx(0.75, rel=0.1)


@pytest.mark.parametrize("ratio", [0.3, 0.6])
def test_cycles_are_estimated_for_a_target_that_is_not_here(ratio: float) -> None:
    found = select("rpi4", ratio)
    assert found.unit == "cycles"
    assert found.timing.ratio == pytest.approx(ratio, rel=0.1) == found.timing.pruned / found.timing.plain
    macs = COSTS.of(kept_without(GROUPS, found.removed)).macs
    assert found.timing.share == macs / COSTS.whole.macs
    assert f"latency={ratio:g}: {found.timing.ratio:.3f} of the time" in str(found)


def test_a_time_that_cannot_be_met() -> None:
    with pytest.raises(
        InvalidRecipeError, match=r"latency=0.02 cannot be met on rpi4: .* smallest .* latency=0\."
    ) as e:
        select("rpi4", 0.02)
    smallest = float(str(e.value).rpartition("=")[2])
    assert select("rpi4", smallest).timing.ratio <= smallest
