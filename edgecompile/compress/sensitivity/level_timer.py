"""`LevelTimer`: what a model takes with layers at some levels, as a part of what it takes as it was."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from edgecompile.artifact.artifact import Artifact
from edgecompile.artifact.machine import runs_here
from edgecompile.compress.measuring.estimate import estimated_cycles
from edgecompile.compress.measuring.timing import time_in_turns
from edgecompile.driver import compile
from edgecompile.errors import InvalidInputError
from edgecompile.frontend.model import Model
from edgecompile.target import Target

if TYPE_CHECKING:
    import numpy as np
    import tvm

AtLevels: TypeAlias = "Callable[[Mapping[str, float]], tvm.IRModule | None]"
"""The module as it ships with layers at these levels; None where nothing changes."""


class LevelTimer:
    """Compiles the model with layers at some levels, and lets it run in turns with the model as it was.

    For a target that cannot run here the planner of layouts estimates both. Use it in a `with` statement.

    Args:
        model: as it was.
        at_levels: what is compiled.
        sample: the inputs, by name, that are timed; the self-test's where it is empty.

    Raises:
        InvalidInputError: the target cannot run here, and the model cannot be estimated.
    """

    def __init__(self, model: Model, at_levels: AtLevels, target: Target, sample: Mapping[str, np.ndarray]) -> None:
        self._model, self._at_levels, self._target, self._sample = model, at_levels, target, sample
        self.target, self.is_estimated = target.name, not runs_here(target)
        self._folder = tempfile.TemporaryDirectory(prefix="edgecompile-")
        self._whole: Artifact | None = None
        self._cycles = self._estimated(model.module) if self.is_estimated else 0.0

    def time(self, levels: Mapping[str, float]) -> float:
        """With layers at these levels; 1 is the time of the model as it was."""
        module = self._at_levels(levels)
        if module is None:
            return 1.0
        if self.is_estimated:
            return self._estimated(module) / self._cycles
        self._whole = self._whole or self._compiled(self._model.module, "whole")
        compressed = self._compiled(module, "compressed")
        try:
            return time_in_turns([self._whole, compressed], self._sample)[1].ratio
        finally:
            compressed.close()

    def _compiled(self, module: tvm.IRModule, name: str) -> Artifact:
        model = dataclasses.replace(self._model, module=module, reference=None, history=())
        return compile(model, self._target, Path(self._folder.name) / name)

    def _estimated(self, module: tvm.IRModule) -> float:
        cycles = sum(estimated_cycles(module, self._target, ()).values())
        if not cycles:
            raise InvalidInputError(
                f"times on {self.target} need a machine that can run it, since the model is none whose time can be "
                "estimated: leave them out"
            )
        return cycles

    def __enter__(self) -> LevelTimer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._whole is not None:
            self._whole.close()
        self._folder.cleanup()
