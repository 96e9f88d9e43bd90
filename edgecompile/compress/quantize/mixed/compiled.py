"""`CompiledChoices`: the compiled model with some layers in int8, and the user's metric of it, each made once."""

from __future__ import annotations

from edgecompile.compress.measuring.workbench import Candidate, Workbench
from edgecompile.compress.quantize.mixed.job import Job


class CompiledChoices:
    """By the layers that are int8; none are float.

    Args:
        bench: which compiles.
    """

    def __init__(self, job: Job, bench: Workbench) -> None:
        self._job, self._bench = job, bench
        self._candidates: dict[frozenset[str], Candidate] = {}
        self._metrics: dict[frozenset[str], float] = {}

    def candidate(self, layers: frozenset[str]) -> Candidate:
        """The compiled model."""
        if layers not in self._candidates:
            name = "int8" if layers == frozenset(self._job.layers) else "mixed" if layers else "float"
            module = self._job.compressed(layers) if layers else self._job.model.module
            self._candidates[layers] = self._bench.build(name, module)
        return self._candidates[layers]

    def metric(self, layers: frozenset[str]) -> float | None:
        """Of the compiled model; None without an evaluation.

        Raises:
            InvalidInputError: the metric is no number, or its function fails.
        """
        if self._job.metric is None:
            return None
        if layers not in self._metrics:
            self._metrics[layers] = self._job.metric(self.candidate(layers).predict)
        return self._metrics[layers]

    def ratio(self, layers: frozenset[str], before: frozenset[str]) -> float:
        """The time of one choice to that of another, measured in turns."""
        _, cost = self._bench.compare([self.candidate(before), self.candidate(layers)])
        return cost.ratio
