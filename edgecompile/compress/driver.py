"""`compress`: a model and a recipe to a smaller or faster model."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from edgecompile.compress.kinds import KINDS, imported
from edgecompile.compress.recipe import Recipe, RecipeSource
from edgecompile.compress.restore_weights import restore_weights
from edgecompile.compress.step import Step
from edgecompile.decision import Decision
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.frontend.model import CompressionStep, Model, check_model

if TYPE_CHECKING:
    import numpy as np

Predict: TypeAlias = "Callable[[Sequence[np.ndarray]], list[np.ndarray]]"
"""The inputs of one inference, in the model's order, to its outputs."""

Evaluate: TypeAlias = Callable[[Predict], float]
"""A user's metric of whatever computes the model, such as accuracy: more is better."""

Data: TypeAlias = "str | os.PathLike[str] | Iterable[Any]"
"""Calibration data: a folder, "module:function", or the inputs themselves."""

Progress: TypeAlias = Callable[[str], None]


class StepResult(NamedTuple):
    """What a step made of a model, and why; the model's `history` is as it was.

    Attributes:
        figures: what was measured, see `CompressionStep.figures`.
        is_judged: True where measurements decided; the model may then be as it was.
        sample: the inputs, by name, that are timed where the step is judged as a whole; the self-test's if empty.
        plots: of its report, by file name: what draws a PNG.
    """

    model: Model
    decisions: Sequence[Decision]
    figures: Mapping[str, Mapping[str, float]] = {}
    is_judged: bool = False
    sample: Mapping[str, np.ndarray] = {}
    plots: Mapping[str, Callable[[], bytes]] = {}


class StepFunction(Protocol):
    """What does one kind of step; `kinds.KINDS` names it. The arguments are those of `compress`."""

    def __call__(
        self,
        model: Model,
        step: Any,
        *,
        data: Data | None,
        samples: int | None,
        table: str | os.PathLike[str] | None,
        evaluate: Evaluate | None,
        max_drop: float | None,
        target: str,
        report: str | os.PathLike[str] | None,
        progress: Progress,
    ) -> StepResult:
        """Do the step."""


def compress(
    model: Model,
    recipe: RecipeSource,
    data: Data | None = None,
    *,
    samples: int | None = None,
    table: str | os.PathLike[str] | None = None,
    eval: Evaluate | None = None,
    max_drop: float | None = None,
    target: str = "host",
    report: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Model:
    """Do the steps of a recipe, one after the other.

    Args:
        model: from `load`; it stays as it is.
        recipe: a `Recipe`, what `Recipe.parse` takes ("int8", "int8,calibration=kl"), or the path of a YAML file.
        data: inputs like those in use, for the steps that look at activations: a folder, "module:function", or an
            iterable of inputs.
        samples: how many of the data to use at most; None means all.
        table: a calibration table in JSON, used instead of data.
        eval: gives the metric of a function that computes the model; more is better. With it, or with `report`, what
            is neither faster nor smaller on the target is left as it was, and so is the whole model where nothing pays.
        max_drop: by how much the metric may fall, by all steps together; what costs more is left as it was. Needs
            `eval`.
        target: that the model is for, by name; only what is measured depends on it.
        report: a folder for tables and plots of what was measured; with sensitivities that are not measured again.
        progress: called with the name of each phase as it begins.

    Returns:
        The compressed model. Its `history` ends with one `CompressionStep` for each step, so `print` shows what was
        done. It has the `reference` of `model`, the uncompressed answer.

    Raises:
        InvalidRecipeError: the recipe is wrong, does not fit the model, or changes nothing.
        InvalidInputError: options that do not go together, or data that do not fit the model.
        OutputError, ToolchainError: the report cannot be written, or needs matplotlib.
    """
    parsed = Recipe.parse(recipe)
    check_model(model, "compress")
    if max_drop is not None and (eval is None or max_drop < 0 or math.isnan(max_drop)):
        found = "no eval" if eval is None else f"max_drop={max_drop}"
        raise InvalidInputError(f"max_drop needs an eval, and is not below 0, found {found}; give eval=function")
    if samples is not None and samples < 1:
        raise InvalidInputError(f"samples must be at least 1, found {samples}")
    if data is not None and table is not None:
        raise InvalidInputError("a calibration table takes the place of data, found both; give one of them")
    if report is not None:
        from edgecompile.report.folder import report_folder

        report_folder(report)  # refused now, not after minutes of work
    phase: Progress = progress or (lambda name: None)
    allowance = None
    if eval is not None and max_drop is not None:
        from edgecompile.compress.measuring.allowance import Allowance

        allowance = Allowance(model, eval, max_drop, target, phase)
    for step in parsed.steps:
        phase(step.kind)
        if KINDS[step.kind].stage == "shape":
            _refuse_sparse(model, step)
        left = None if allowance is None else allowance.left(model)
        function: StepFunction = imported(KINDS[step.kind].function)
        result = function(
            model,
            step,
            data=data,
            samples=samples,
            table=table,
            evaluate=eval,
            max_drop=left,
            target=target,
            report=report,
            progress=phase,
        )
        if not result.is_judged and (eval is not None or report is not None):
            result = _judged(result, step, model, eval, left, target, report, phase)
        model = _recorded(result, step, model)
    return model


def _refuse_sparse(model: Model, step: Step) -> None:
    """
    Raises:
        InvalidRecipeError: the step would not see the weights of some layers.
    """
    from edgecompile.storage.insert_weights import sparse_layers

    found = sorted(sparse_layers(model.module))
    if found:
        raise InvalidRecipeError(
            f"the step {step.kind!r} needs whole weights, found those of {len(found)} layers sparse, such as "
            f"{found[0]!r}; let it come before 'sparse'"
        )


def _judged(
    result: StepResult,
    step: Step,
    before: Model,
    evaluate: Evaluate | None,
    max_drop: float | None,
    target: str,
    report: str | os.PathLike[str] | None,
    progress: Progress,
) -> StepResult:
    """What ships of a step that leaves it to be judged as a whole: all that it did, or nothing."""
    from edgecompile.compress.measuring.judge_model import judge_model
    from edgecompile.report.step import write_step_report

    if result.model.module.same_as(before.module):
        return result
    found = judge_model(before, result.model, target, evaluate, max_drop, result.sample, progress)
    decisions, figures = [found.outcome, *result.decisions], {**result.figures, **found.figures}
    if report is not None:
        write_step_report(Path(report), step.kind, decisions, figures, result.plots)
    return result._replace(
        model=result.model if found.ships else before, decisions=decisions, figures=figures, is_judged=True
    )


def _recorded(result: StepResult, step: Step, before: Model) -> Model:
    if result.model.module.same_as(before.module) and not result.is_judged:
        reasons = "; ".join(dict.fromkeys(decision.reason for decision in result.decisions)) or "no layer fits it"
        raise InvalidRecipeError(f"the step {step.kind!r} changed nothing: {reasons:.400}; leave it out")
    record = CompressionStep(step.kind, step.to_data(), tuple(result.decisions), result.figures)
    module = restore_weights(before.module, result.model.module)
    return dataclasses.replace(result.model, module=module, history=(*before.history, record))
