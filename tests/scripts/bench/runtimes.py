"""Stand-ins for runtimes, good and bad; each is loaded in a worker's process."""

from __future__ import annotations

import os
import time

import numpy as np

from scripts.bench.case import Case
from scripts.bench.rivals import Network, UnusableRival


class Echo:
    """Answers what the case expects plus an error, after a pause."""

    notes = "echo"

    def __init__(self, case: Case, error: float = 0.0, seconds: float = 1e-3) -> None:
        self._answer = [array + np.float32(error) for array in case.expected]
        self._seconds = seconds
        self.runs = 0

    def run(self) -> None:
        self.runs += 1
        time.sleep(self._seconds)

    def outputs(self) -> list[np.ndarray]:
        return self._answer


class FailsLater(Echo):
    """Loads and answers, and fails in a turn."""

    def run(self) -> None:
        super().run()
        if self.runs > 2:
            raise ValueError("out of luck\nsecond line")


class Surroundings(Echo):
    """Answers with the cores and threads that it finds itself confined to."""

    def outputs(self) -> list[np.ndarray]:
        return [np.array([*sorted(os.sched_getaffinity(0)), int(os.environ["OMP_NUM_THREADS"])])]


def fast(case: Case, threads: int) -> tuple[str, Network]:
    return "1.0", Echo(case)


def slow(case: Case, threads: int) -> tuple[str, Network]:
    return "2.0", Echo(case, seconds=5e-3)


def wrong(case: Case, threads: int) -> tuple[str, Network]:
    return "3.0", Echo(case, error=0.01)


def failing(case: Case, threads: int) -> tuple[str, Network]:
    return "4.0", FailsLater(case)


def absent(case: Case, threads: int) -> tuple[str, Network]:
    raise UnusableRival("absent is not installed")


def crashing(case: Case, threads: int) -> tuple[str, Network]:
    os.write(2, b"beforehand\nsomething broke\n")
    os._exit(3)


def surroundings(case: Case, threads: int) -> tuple[str, Network]:
    return str(threads), Surroundings(case)
