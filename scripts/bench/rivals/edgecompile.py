"""edgecompile itself: compiled for this machine, called through its Python interface."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

import edgecompile as ec
from edgecompile import zoo
from scripts.bench.case import Case


class _Network:
    def __init__(self, case: Case, threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the table shows the difference
            module, examples = zoo.build(case.name)  # not `zoo:`, whose weights are trained where they can be
            model = ec.load(module, example_inputs=examples, name=case.name)
            self._artifact = ec.compile(model, out=Path(self._folder.name) / case.name, threads=threads)
        self._inputs = tuple(case.inputs.values())
        self._outputs: list[np.ndarray] = []
        manifest = self._artifact.manifest
        self.notes = f"executor {manifest.executor}, {manifest.target.name}"

    def run(self) -> None:
        self._outputs = self._artifact.run(*self._inputs)

    def outputs(self) -> list[np.ndarray]:
        return self._outputs


def load(case: Case, threads: int) -> _Network:
    """The case as an artifact."""
    return _Network(case, threads)
