"""Times of a model with layers at some levels."""

from __future__ import annotations

from collections.abc import Mapping

import tvm

from edgecompile.artifact.machine import runs_here
from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.importance import Evidence, scores
from edgecompile.compress.prune.rewrite import remove
from edgecompile.compress.prune.sensitivity.removal import Removal
from edgecompile.compress.sensitivity.level_timer import LevelTimer
from edgecompile.target import find_target
from tests.compress.prune.test_find import load


def test_times_of_a_target_that_cannot_run_here_are_estimated() -> None:
    target = next(found for name in ("rpi5", "host,vector_bytes=64") if not runs_here(found := find_target(name)))
    model, x = load("residual")
    groups = find_groups(model.module)
    removal = Removal(groups, scores(groups, "l2", Evidence(model, groups)), most=0.9, round_to=1)

    def pruned(ratios: Mapping[str, float]) -> tvm.IRModule | None:
        removed = removal.channels(ratios)
        return remove(model.module, groups, removed) if removed else None

    with LevelTimer(model, pruned, target, {"x": x}) as timer:
        assert timer.is_estimated
        names = [group.name for group in groups]
        times = [timer.time(dict.fromkeys(names, ratio)) for ratio in (0.01, 0.5, 0.75)]
    assert times[0] == 1 > times[1] > times[2] > 0
