"""The process around a runtime: where it may run, and that it is silent between turns."""

from __future__ import annotations

import os
import time

import pytest

from scripts.bench.case import Case
from scripts.bench.rivals import RIVALS, UnusableRival, loader
from scripts.bench.worker import Worker
from tests.scripts.bench import runtimes

CORE = max(os.sched_getaffinity(0))


def test_it_is_pinned_and_uses_no_time_between_turns(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # the worker must say what it was told, not what it inherits
    with Worker(runtimes.surroundings, case.folder, (CORE,)) as worker:
        loaded = worker.loaded()
        assert loaded.version == "1"
        assert loaded.outputs[0].tolist() == [CORE, 1]
        assert len(worker.turn(1, 3)) == 3
        time.sleep(0.1)  # what a process uses is known when it has gone to sleep, which is after its answer is here
        used = worker.cpu_seconds()
        assert used > 0
        time.sleep(0.2)
        assert worker.cpu_seconds() - used <= 0.02  # one tick of the clock may be late
    assert worker.cpu_seconds() == 0  # the process is gone


def test_a_runtime_that_is_not_installed_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RIVALS, "mnn", ("no-such-package",))
    with pytest.raises(UnusableRival, match="no-such-package is not installed: pip install"):
        loader("mnn")(case, 1)
