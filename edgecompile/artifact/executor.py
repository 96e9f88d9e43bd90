"""What every way to run an artifact offers, and the results it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Stats:
    """How long one inference takes, in milliseconds over `repeat` runs.

    Attributes:
        mean_ms: None where an emulator ran it.
        machine: where it ran; times under an emulator say nothing about the device.
    """

    median_ms: float
    min_ms: float
    p99_ms: float
    mean_ms: float | None
    repeat: int
    threads: int
    machine: str

    @property
    def is_emulated(self) -> bool:
        """True when an emulator ran it."""
        return self.machine.startswith("emulated")

    def __str__(self) -> str:
        return (
            f"median {self.median_ms:.3f} ms, min {self.min_ms:.3f} ms, 99 % under {self.p99_ms:.3f} ms "
            f"({self.repeat} runs, threads: {self.threads}, {self.machine})"
        )


@dataclass(frozen=True)
class StepTime:
    """The median time of one kernel call."""

    index: int
    kernel: str
    median_ms: float


class Executor(Protocol):
    """Runs one artifact. Inputs arrive checked: right count, dtypes and shapes, contiguous, in the manifest's order.

    Attributes:
        machine: "native", "emulated by qemu-aarch64 -cpu cortex-a72", "Relax virtual machine".
        threads: how many work on one inference.
    """

    machine: str
    threads: int

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One inference."""

    def run_many(self, samples: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
        """One inference for each sample, in order; an emulator is started once for many."""

    def bench(self, inputs: Sequence[np.ndarray], repeat: int, warmup: int, threads: int) -> Stats:
        """The times of `repeat` inferences after `warmup` that do not count."""

    def time_steps(self, inputs: Sequence[np.ndarray], repeat: int, warmup: int, threads: int) -> list[StepTime]:
        """The time of each kernel call over `repeat` inferences, after `warmup` that do not count.

        Raises:
            RuntimeFailureError: this executor cannot tell.
        """

    def close(self) -> None:
        """Free everything; may be called twice."""


def stats_of(nanoseconds: Sequence[int], threads: int, machine: str) -> Stats:
    """Summarise measured times."""
    ordered = sorted(nanoseconds)
    count = len(ordered)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return Stats(
        median_ms=middle / 1e6,
        min_ms=ordered[0] / 1e6,
        p99_ms=ordered[-(-99 * count // 100) - 1] / 1e6,
        mean_ms=sum(ordered) / count / 1e6,
        repeat=count,
        threads=threads,
        machine=machine,
    )
