"""Stand-ins for runtimes, good and bad; each is loaded in a worker's process."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np

from scripts.bench.accuracy import probe_inputs
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


class Doubles:
    """Answers twice its input plus some noise; it fails when it is timed with any other input than the case's."""

    notes = "doubles"
    model_bytes = 7

    def __init__(self, case: Case, noise: float = 0.0, seconds: float = 1e-3) -> None:
        self._inputs, self._own = [*case.inputs.values()], [*case.inputs.values()]
        self._noise = noise
        self._seconds = seconds
        self._untimed = 1 + len(probe_inputs(case))

    def give(self, inputs: Sequence[np.ndarray]) -> None:
        self._inputs = list(inputs)

    def run(self) -> None:
        self._untimed -= 1
        time.sleep(self._seconds)
        if self._untimed < 0 and not np.array_equal(self._inputs[0], self._own[0]):
            raise ValueError("another input is in place")

    def outputs(self) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [2 * array + np.float32(self._noise) * rng.standard_normal(array.shape) for array in self._inputs]


class TwoAnswers(Doubles):
    """Has an output too many."""

    def outputs(self) -> list[np.ndarray]:
        return super().outputs() * 2


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


def doubles(case: Case, threads: int) -> tuple[str, Network]:
    return "1.0", Doubles(case, 0.02, 2e-3)


def doubles_exactly(case: Case, threads: int) -> tuple[str, Network]:
    return "2.0", Doubles(case)


def doubles_slowly(case: Case, threads: int) -> tuple[str, Network]:
    return "3.0", Doubles(case, 0.2, 6e-3)


def drowned(case: Case, threads: int) -> tuple[str, Network]:
    return "4.0", Doubles(case, 40.0)


def two_answers(case: Case, threads: int) -> tuple[str, Network]:
    return "5.0", TwoAnswers(case)
