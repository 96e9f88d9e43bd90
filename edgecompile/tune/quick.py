"""A selection by measurement within seconds.

    for each column of trials, one way of each workload:     # the templates' own choices first, then what promises most
        compile them into one library
        run all libraries in turn, some rounds
        drop libraries in which every way is clearly slower than another
    run those that are left in turn, some more rounds

Most of the time goes into compiling, so what counting calls hopeless is not even compiled.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence

from edgecompile.family import family_of
from edgecompile.implementation import Implementation
from edgecompile.target import Target
from edgecompile.tune.conditions import Conditions
from edgecompile.tune.contest import Contest, quartiles
from edgecompile.tune.pinned import pinned
from edgecompile.tune.records import Record
from edgecompile.tune.trial import Trial
from edgecompile.tune.trial_library import TrialLibrary
from edgecompile.tune.trial_plan import ConstantPool
from edgecompile.tune.workload import Workload

QUICK_SECONDS = 25.0
MOST_TRIALS, COLUMN_SECONDS = 16, 4.0  # of a column: what is compiled between two signs of life
FIRST_ROUNDS, LAST_ROUNDS = 4, 15
LAST_SECONDS = 4.0
DROPPED = 1.15  # a library whose every way takes so many times the best of its workload
TRIAL_SECONDS = 0.4  # to compile one, before anything is known about this machine
# A matrix beyond this is read from memory once, whatever the tile; packing it for each way would take the time of many.
MOST_WEIGHT_ELEMENTS = 2**24


def is_worth_measuring(workload: Workload, ways: Sequence[Implementation]) -> bool:
    """True where a record could name a way, and the weight is not so large that only memory counts."""
    return any(way.key for way in ways) and math.prod(workload.weight or ()) <= MOST_WEIGHT_ELEMENTS


def tune_quick(
    workloads: Mapping[Workload, Sequence[Implementation]],
    target: Target,
    conditions: Conditions,
    resident_bytes: int,
    progress: Callable[[str], None],
    seconds: float | None = None,
) -> list[Record]:
    """Measure ways to compute each workload on this machine.

    Args:
        workloads: each with all its ways, which are worth measuring.
        target: this machine.
        conditions: those of `target`.
        resident_bytes: all weights of the model; they decide which cache a layer's own come from.
        progress: called with a line for people whenever something is known.
        seconds: when to stop, `QUICK_SECONDS` unless given; at least one column is measured.

    Raises:
        ToolchainError, RuntimeFailureError: no library could be made or run.
    """
    contests = [Contest(workload, ways) for workload, ways in workloads.items()]
    with _Tuning(
        contests, target, conditions.threads, resident_bytes, progress, QUICK_SECONDS if seconds is None else seconds
    ) as tuning:
        tuning.run()
    clock_hz = _clock_hz(target, conditions.threads)
    return [
        _record(conditions, contest.workload, way, times, clock_hz)
        for contest in contests
        for way, times in contest.times.items()
    ]


class _Tuning(contextlib.AbstractContextManager["_Tuning"]):
    """The loop, and the libraries that are still in it."""

    def __init__(
        self,
        contests: Sequence[Contest],
        target: Target,
        threads: int,
        resident_bytes: int,
        progress: Callable[[str], None],
        seconds: float,
    ) -> None:
        self._contests = contests
        self._target = target
        self._threads = threads
        self._resident_bytes = resident_bytes
        self._progress = progress
        self._started = time.monotonic()
        self._seconds = seconds
        self._trial_seconds = TRIAL_SECONDS
        self._pool = ConstantPool()
        self._libraries: list[TrialLibrary] = []
        self._of_trial: dict[Trial, Contest] = {}

    def __exit__(self, *reason: object) -> None:
        for library in self._libraries:
            library.close()

    @property
    def _left(self) -> float:
        """Seconds until the end."""
        return self._started + self._seconds - time.monotonic()

    def run(self) -> None:
        """Until no way is left that promises anything, or the time is over."""
        while column := self._column():
            self._tell()
            before = time.monotonic()
            self._libraries.append(TrialLibrary(column, self._target, self._threads, self._resident_bytes, self._pool))
            self._trial_seconds = (time.monotonic() - before) / len(column)
            self._rounds(FIRST_ROUNDS, self._left)
            self._drop()
        self._tell()
        self._rounds(LAST_ROUNDS, LAST_SECONDS)

    def _column(self) -> list[Trial]:
        """One way each of the workloads that take longest, as many as the time allows."""
        seconds = min(COLUMN_SECONDS, self._left - LAST_SECONDS) if self._libraries else COLUMN_SECONDS
        room = min(MOST_TRIALS, int(seconds / self._trial_seconds))
        column: list[Trial] = []
        for contest in sorted(self._contests, key=lambda contest: (bool(contest.times), -contest.size)):
            way = contest.take() if len(column) < room else None
            if way is not None:
                trial = Trial(f"trial{len(self._of_trial)}", contest.workload, way)
                self._of_trial[trial] = contest
                column.append(trial)
        return column

    def _rounds(self, count: int, seconds: float) -> None:
        """At least one."""
        end = time.monotonic() + seconds
        with pinned(self._threads):
            for done in range(count):
                if done and time.monotonic() > end:
                    return
                for library in self._libraries:
                    for trial, nanoseconds in zip(library.trials, library.run(), strict=True):
                        self._of_trial[trial].add(trial.way, nanoseconds)

    def _drop(self) -> None:
        kept: list[TrialLibrary] = []
        for library in self._libraries:
            if any(self._of_trial[trial].is_near(trial.way, DROPPED) for trial in library.trials):
                kept.append(library)
            else:
                library.close()
        self._libraries = kept

    def _tell(self) -> None:
        measured = [contest for contest in self._contests if contest.times]
        line = f"tune: {sum(len(contest.times) for contest in measured)} ways of {len(self._contests)} layers timed"
        if measured:
            best_ms = sum(contest.best_ns for contest in measured) / 1e6
            before_ms = sum(contest.estimated_choice_ns for contest in measured) / 1e6
            line += f", best {best_ms:.3f} ms in all, {before_ms:.3f} ms without tuning"
        self._progress(f"{line}, at most {max(self._left, 0):.0f} s left")


def _clock_hz(target: Target, threads: int) -> float:
    """Of one core, as the estimates count: full-width multiply-adds on all its ports at the measured peak."""
    peak = family_of(target).measure_roofline(target, threads, again=False).flops_per_s / threads
    return peak / (2 * (target.cpu.vector_bytes // 4) * target.cpu.fma_ports)


def _record(
    conditions: Conditions, workload: Workload, way: Implementation, times: Sequence[int], clock_hz: float
) -> Record:
    low, median, high = quartiles(times)
    return Record(
        conditions=conditions,
        workload=workload.key,
        way=way.key,
        quartile_ns=low,
        min_ns=float(min(times)),
        median_ns=median,
        spread=round((high - low) / median, 4),
        repeats=len(times),
        estimated_cycles=way.cycles,
        clock_hz=round(clock_hz),
    )
