"""`analyze`: what each layer of a model loses by a step of a recipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from edgecompile.compress.kinds import KINDS, imported
from edgecompile.compress.recipe import Recipe, RecipeSource
from edgecompile.compress.sensitivity.grid import SensitivityGrid
from edgecompile.compress.sensitivity.record import Sensitivity
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.frontend.model import Model, check_model

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate

Analysis: TypeAlias = "Sensitivity | SensitivityGrid"
"""What is measured: of each layer one compressed form, or several levels."""

Progress = Callable[[str, int, "int | None"], None]


class AnalysisFunction(Protocol):
    """What analyses one kind of step; `kinds.KINDS` names it. The arguments are those of `analyze`."""

    def __call__(
        self,
        model: Model,
        step: Any,
        *,
        data: Data | None,
        samples: int | None,
        table: str | os.PathLike[str] | None,
        evaluate: Evaluate | None,
        path: Path | None,
        levels: Sequence[float] | None,
        target: str,
        timed: bool,
        progress: Progress,
    ) -> Analysis:
        """Compress each layer alone, and all together; a `path` that names a file of another kind is refused first."""


def analyze(
    model: Model,
    recipe: RecipeSource,
    data: Data | None = None,
    *,
    samples: int | None = None,
    table: str | os.PathLike[str] | None = None,
    eval: Evaluate | None = None,
    out: str | os.PathLike[str] | None = None,
    levels: Sequence[float] | None = None,
    target: str = "host",
    timed: bool = False,
    progress: Progress | None = None,
) -> Analysis:
    """Compress one layer at a time, all others as they are, and measure the outputs' error and the metric.

    Args:
        model: from `load`.
        recipe: with one step.
        data, samples, table, eval: as of `compress`.
        out: a file, written after each layer. What is in it for the same model, recipe and samples is not measured
            again: so an interrupted analysis goes on where it was.
        levels: to which each layer is compressed, for steps that have several: of pruning the ratios of the channels
            that go, of lowrank the shares of the parameters that stay; None means 0.25, 0.5 and 0.75.
        target: that the model is for, by name.
        timed: measure times on it too, for steps that have levels: one compilation for each of each layer.
        progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        InvalidRecipeError: the recipe is wrong, does not fit the model, or has several steps.
        InvalidInputError: options that do not go together; a metric that is no number; `out` is another kind of file.
        OutputError: `out` cannot be written.
    """
    check_model(model, "analyze")
    parsed = Recipe.parse(recipe)
    if len(parsed.steps) != 1:
        raise InvalidRecipeError(f"an analysis needs a recipe of one step, found {len(parsed.steps)}: analyze each")
    if data is not None and table is not None:
        raise InvalidInputError("a calibration table takes the place of data, found both; give one of them")
    if data is None and eval is None:
        raise InvalidInputError("an analysis needs data or an eval to see errors by, found neither")
    step = parsed.steps[0]
    if not KINDS[step.kind].analysis:
        raise InvalidRecipeError(f"no analysis of the step {step.kind!r} is known; analyze another step")
    function: AnalysisFunction = imported(KINDS[step.kind].analysis)
    return function(
        model,
        step,
        data=data,
        samples=samples,
        table=table,
        evaluate=eval,
        path=Path(out) if out is not None else None,
        levels=levels,
        target=target,
        timed=timed,
        progress=progress or (lambda title, done, total: None),
    )
