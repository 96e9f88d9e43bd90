"""edgecompile itself: compiled for this machine, called through its Python interface."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import edgecompile as ec
from edgecompile import Model, zoo
from scripts.bench.case import Case


class Compiled:
    """A network of the zoo as an artifact.

    Args:
        change: what the model goes through before it is compiled.
    """

    def __init__(self, case: Case, threads: int, change: Callable[[Model], Model] = lambda model: model) -> None:
        self._folder = tempfile.TemporaryDirectory()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the table shows the difference
            module, examples = zoo.build(case.name)  # not `zoo:`, whose weights are trained where they can be
            model = change(ec.load(module, example_inputs=examples, name=case.name))
            self._artifact = ec.compile(model, out=Path(self._folder.name) / case.name, threads=threads)
        self._inputs: Sequence[np.ndarray] = tuple(case.inputs.values())
        self._outputs: list[np.ndarray] = []
        manifest = self._artifact.manifest
        self.model_bytes = manifest.files[manifest.library].bytes
        if not manifest.weights_embedded:
            self.model_bytes += manifest.weight_bytes
        self.notes = f"executor {manifest.executor}, {manifest.target.name}"

    def give(self, inputs: Sequence[np.ndarray]) -> None:
        self._inputs = inputs

    def run(self) -> None:
        self._outputs = self._artifact.run(*self._inputs)

    def outputs(self) -> list[np.ndarray]:
        return self._outputs


def load(case: Case, threads: int) -> Compiled:
    """The case as an artifact."""
    return Compiled(case, threads)
