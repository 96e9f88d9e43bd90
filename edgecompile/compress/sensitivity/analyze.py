"""`analyze`: what each layer of a model loses by a step of a recipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgecompile.compress.kinds import KINDS, imported
from edgecompile.compress.recipe import Recipe, RecipeSource
from edgecompile.compress.sensitivity.record import Sensitivity, read_sensitivity
from edgecompile.errors import InvalidInputError, InvalidRecipeError

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate
    from edgecompile.frontend.model import Model

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
        progress: Progress,
    ) -> Sensitivity:
        """Compress each layer alone, and all together."""


def analyze(
    model: Model,
    recipe: RecipeSource,
    data: Data | None = None,
    *,
    samples: int | None = None,
    table: str | os.PathLike[str] | None = None,
    eval: Evaluate | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Sensitivity:
    """Compress one layer at a time, all others as they are, and measure the outputs' error and the metric.

    Args:
        model: from `load`.
        recipe: with one step.
        data, samples, table, eval: as of `compress`.
        out: a file, written after each layer. What is in it for the same model, recipe and samples is not measured
            again: so an interrupted analysis goes on where it was.
        progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        InvalidRecipeError: the recipe is wrong, does not fit the model, or has several steps.
        InvalidInputError: options that do not go together; a metric that is no number; `out` is another kind of file.
        OutputError: `out` cannot be written.
    """
    parsed = Recipe.parse(recipe)
    if len(parsed.steps) != 1:
        raise InvalidRecipeError(f"an analysis needs a recipe of one step, found {len(parsed.steps)}: analyze each")
    if data is not None and table is not None:
        raise InvalidInputError("a calibration table takes the place of data, found both; give one of them")
    if data is None and eval is None:
        raise InvalidInputError("an analysis needs data or an eval to see errors by, found neither")
    path = Path(out) if out is not None else None
    if path is not None:
        read_sensitivity(path)  # what it says in the end should not be lost for a wrong name
    step = parsed.steps[0]
    function: AnalysisFunction = imported(KINDS[step.kind].analysis)
    return function(
        model,
        step,
        data=data,
        samples=samples,
        table=table,
        evaluate=eval,
        path=path,
        progress=progress or (lambda title, done, total: None),
    )
