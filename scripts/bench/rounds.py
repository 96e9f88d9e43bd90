"""Letting the runtimes take turns, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edgecompile.artifact.verify import relative_difference
from scripts.bench.accuracy import Accuracy, Probes, compare_answers
from scripts.bench.case import Case
from scripts.bench.rivals import Loader, UnusableRival
from scripts.bench.worker import Loaded, Worker

LARGEST_DIFFERENCE = 1e-3  # in float32
LEAST_SNR_DB = 3.0  # in int8: below it the answers are noise

_TURN_MS = 300.0  # timed, of each runtime in each round
_WARMUP_MS = 60.0  # before it: the caches hold another runtime's weights
_REST_S = 0.03  # behind it: OpenMP's threads spin for up to 20 ms when they have nothing to do


@dataclass(frozen=True)
class Row:
    """One runtime on one network.

    Attributes:
        status: "refused" when the outputs differ too much, "failed" when it did not load or run.
        reason: of a status other than "timed".
        difference: from PyTorch, largest over all outputs, as a part of the output's range.
        times_ms: of each timed inference.
        accuracy, model_bytes: None unless the comparison has probes.
    """

    runtime: str
    status: Literal["timed", "refused", "failed"]
    reason: str = ""
    version: str = ""
    notes: str = ""
    difference: float | None = None
    times_ms: tuple[float, ...] = ()
    accuracy: Accuracy | None = None
    model_bytes: int | None = None

    @property
    def median_ms(self) -> float | None:
        return statistics.median(self.times_ms) if self.times_ms else None

    @property
    def min_ms(self) -> float | None:
        return min(self.times_ms, default=None)


@dataclass(frozen=True)
class Comparison:
    """All runtimes on one network.

    Attributes:
        rows: ours first, then in the order asked for.
        foreign_share: of the cores' time that went to programs other than these, while they ran; too high when one of
            these failed on the way.
        baseline: the row that is ours too, in float32; "" where there is none.
        varying_share: of the probes' references, see `Probes`; None without probes.
    """

    case: Case
    threads: int
    rows: tuple[Row, ...]
    foreign_share: float
    baseline: str = ""
    varying_share: float | None = None

    def ratio(self, row: Row) -> float | None:
        """The row's median as a multiple of the best rival's."""
        return _ratio(row, self.best_rival)

    def ratio_to_float(self, row: Row) -> float | None:
        """The row's median as a multiple of the baseline's."""
        return _ratio(row, next((other for other in self.rows if other.runtime == self.baseline), None))

    @property
    def ours(self) -> Row:
        return self.rows[0]

    @property
    def best_rival(self) -> Row | None:
        timed = [row for row in self.rows[1:] if row.median_ms is not None and row.runtime != self.baseline]
        return min(timed, key=lambda row: row.median_ms or 0.0, default=None)


def compare(
    case: Case,
    runtimes: Mapping[str, Loader],
    cores: tuple[int, ...],
    rounds: int,
    progress: Callable[[str], None],
    *,
    probes: Probes | None = None,
    baseline: str = "",
) -> Comparison:
    """Load every runtime, check what it answers, and time those that answer right.

    Args:
        runtimes: ours first.
        cores: what every runtime is pinned to, one thread on each.
        rounds: turns of each runtime.
        progress: called with what happens now.
        probes: judge by the accuracy of the answers to them, not by the difference from PyTorch; every loader's network
            is then a `ProbedNetwork`.
        baseline: the name of the runtime that is ours too, in float32.
    """
    rows: dict[str, Row] = {}
    workers: dict[str, Worker] = {}
    with contextlib.ExitStack() as stack:
        for name, load in runtimes.items():  # one after another: some need the whole machine to convert the network
            progress(f"{case.name}, threads: {len(cores)}: {name} loads")
            worker = stack.enter_context(Worker(load, case.folder, cores, probed=probes is not None))
            try:
                loaded = worker.loaded()
                rows[name] = _judged(name, loaded, probes) if probes else _checked(name, loaded, case)
            except UnusableRival as error:
                rows[name] = Row(name, "failed", str(error))
            if rows[name].status == "timed":
                workers[name] = worker
            else:
                worker.close()
        before, started = _busy_seconds(cores) - _used_by(workers), time.monotonic()
        times = _take_turns(workers, rounds, lambda text: progress(f"{case.name}, threads: {len(cores)}: {text}"))
        elapsed = (time.monotonic() - started) * len(cores)
        foreign = _busy_seconds(cores) - _used_by(workers) - before
    for name, measured in times.items():
        if isinstance(measured, str):
            rows[name] = dataclasses.replace(rows[name], status="failed", reason=measured)
        else:
            rows[name] = dataclasses.replace(rows[name], times_ms=tuple(measured))
    share = max(0.0, foreign / elapsed) if workers else 0.0
    varying = probes.varying_share if probes else None
    return Comparison(case, len(cores), tuple(rows.values()), share, baseline, varying)


def _checked(name: str, loaded: Loaded, case: Case) -> Row:
    """The row of a runtime that has answered once."""
    difference = float("inf")
    if len(loaded.outputs) == len(case.expected):
        pairs = zip(loaded.outputs, case.expected, strict=True)
        difference = max(relative_difference(np.asarray(found), expected) for found, expected in pairs)
    right = difference <= LARGEST_DIFFERENCE
    reason = "" if right else f"differs from PyTorch by {difference:.1e} of the range, {LARGEST_DIFFERENCE:.0e} allowed"
    return Row(name, "timed" if right else "refused", reason, loaded.version, loaded.notes, difference)


def _judged(name: str, loaded: Loaded, probes: Probes) -> Row:
    """The row of a runtime that has answered the probes."""
    try:
        accuracy = compare_answers(probes.references, loaded.answers)
    except ValueError as error:
        return Row(name, "refused", str(error), loaded.version, loaded.notes)
    right = accuracy.snr_db >= LEAST_SNR_DB
    reason = "" if right else f"the signal is {accuracy.snr_db:.1f} dB above the noise, {LEAST_SNR_DB:g} needed"
    status: Literal["timed", "refused"] = "timed" if right else "refused"
    return Row(name, status, reason, loaded.version, loaded.notes, accuracy=accuracy, model_bytes=loaded.model_bytes)


def _take_turns(
    workers: Mapping[str, Worker], rounds: int, progress: Callable[[str], None]
) -> dict[str, list[float] | str]:
    """Milliseconds of each runtime's timed inferences, or why it failed on the way; the order changes every round."""
    times: dict[str, list[float] | str] = {name: [] for name in workers}
    first_ms: dict[str, float] = {}
    order, shuffle = list(workers), random.Random(0).shuffle
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        shuffle(order)
        for name in order:
            known = times[name]
            if isinstance(known, str):
                continue
            try:
                if name not in first_ms:
                    first_ms[name] = min(workers[name].turn(1, 2))
                known.extend(workers[name].turn(*_turn_length(first_ms[name])))
            except UnusableRival as error:
                times[name] = str(error)
            time.sleep(_REST_S)
    return times


def _turn_length(inference_ms: float) -> tuple[int, int]:
    """How many inferences of a turn come untimed, and how many timed: about the same time for every runtime."""
    warmup = max(1, min(20, round(_WARMUP_MS / inference_ms)))
    return warmup, max(2, min(100, round(_TURN_MS / inference_ms)))


def _ratio(row: Row, other: Row | None) -> float | None:
    if other is None or row.median_ms is None or other.median_ms is None:
        return None
    return row.median_ms / other.median_ms


def _used_by(workers: Mapping[str, Worker]) -> float:
    return sum(worker.cpu_seconds() for worker in workers.values())


def _busy_seconds(cores: tuple[int, ...]) -> float:
    """Time that the cores have not been idle since the machine started; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        ticks = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *fields = line.split()
            if name in {f"cpu{core}" for core in cores}:
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
                ticks += user + nice + system + irq + softirq + steal
        return ticks / os.sysconf("SC_CLK_TCK")
    return 0.0
