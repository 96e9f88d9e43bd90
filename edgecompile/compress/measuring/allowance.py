"""`Allowance`: what is left, after some steps of a recipe, of what its metric may lose."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgecompile.compress.measuring.workbench import Workbench
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.frontend.model import Model
from edgecompile.target import find_target

if TYPE_CHECKING:
    from edgecompile.compress.driver import Evaluate


class Allowance:
    """A limit for all steps together.

    Args:
        model: before the first step.
        evaluate, target, progress: as of `compress`.
        max_drop: by how much the metric may fall in all.
    """

    def __init__(
        self, model: Model, evaluate: Evaluate, max_drop: float, target: str, progress: Callable[[str], None]
    ) -> None:
        self._model, self._metric, self._max_drop = model, Metric(evaluate), max_drop
        self._target, self._progress = find_target(target), progress
        self._before: float | None = None

    def left(self, model: Model) -> float:
        """By how much the metric of a model in the making may still fall; never below 0.

        Raises:
            InvalidInputError: see `Metric`.
        """
        if model is self._model:
            return self._max_drop
        if self._before is None:
            self._before = self._value(self._model)
        return max(0.0, self._max_drop - (self._before - self._value(model)))

    def _value(self, model: Model) -> float:
        with Workbench(model, (), self._target, {}, self._progress) as bench:
            return self._metric(bench.build("what the steps before made", model.module).predict)
