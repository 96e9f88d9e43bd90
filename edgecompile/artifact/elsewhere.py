"""`ElsewhereExecutor`: stands where an artifact was compiled for a machine that is not this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from edgecompile.artifact.executor import Stats, StepTime
from edgecompile.artifact.machine import check_machine
from edgecompile.errors import CompilerBugError
from edgecompile.target import Target

if TYPE_CHECKING:
    import numpy as np


class ElsewhereExecutor:
    """Answers every request with the reason why this machine cannot serve it.

    Args:
        target: what the artifact was compiled for; `check_machine` refuses it.
        threads: the artifact's default.
    """

    machine = "none"

    def __init__(self, target: Target, threads: int) -> None:
        self.threads = threads
        self._target = target

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Raises WrongMachineError."""
        self._refuse()

    def run_many(self, samples: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
        """Raises WrongMachineError."""
        self._refuse()

    def bench(self, inputs: Sequence[np.ndarray], repeat: int, warmup: int, threads: int) -> Stats:
        """Raises WrongMachineError."""
        self._refuse()

    def time_steps(self, inputs: Sequence[np.ndarray], repeat: int, warmup: int, threads: int) -> list[StepTime]:
        """Raises WrongMachineError."""
        self._refuse()

    def close(self) -> None:
        """Nothing is held."""

    def _refuse(self) -> NoReturn:
        check_machine(self._target)
        raise CompilerBugError(f"an artifact for {self._target.name} was taken for another machine's")
