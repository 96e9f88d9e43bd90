"""`compress`: a model and a recipe to a smaller or faster model."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from edgecompile.compress.kinds import KINDS, imported
from edgecompile.compress.recipe import Recipe, RecipeSource
from edgecompile.compress.restore_weights import restore_weights
from edgecompile.compress.step import Step
from edgecompile.decision import Decision
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.frontend.model import CompressionStep, Model

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
    """

    model: Model
    decisions: Sequence[Decision]
    figures: Mapping[str, Mapping[str, float]] = {}
    is_judged: bool = False


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
        max_drop: by how much the metric may fall; what costs more is left as it was. Needs `eval`.
        target: that the model is for, by name; only what is measured depends on it.
        report: a folder for tables and plots of what was measured; with sensitivities that are not measured again.
        progress: called with the name of each phase as it begins.

    Returns:
        The compressed model. Its `history` ends with one `CompressionStep` for each step, so `print` shows what was
        done. It has the `reference` of `model`, the uncompressed answer.

    Raises:
        InvalidRecipeError: the recipe is wrong, does not fit the model, or changes nothing.
        InvalidInputError: options that do not go together, or data that do not fit the model.
    """
    parsed = Recipe.parse(recipe)
    if max_drop is not None and (eval is None or max_drop < 0 or math.isnan(max_drop)):
        found = "no eval" if eval is None else f"max_drop={max_drop}"
        raise InvalidInputError(f"max_drop needs an eval, and is not below 0, found {found}; give eval=function")
    if samples is not None and samples < 1:
        raise InvalidInputError(f"samples must be at least 1, found {samples}")
    if data is not None and table is not None:
        raise InvalidInputError("a calibration table takes the place of data, found both; give one of them")
    for step in parsed.steps:
        if progress:
            progress(step.kind)
        if KINDS[step.kind].stage == "shape":
            _refuse_sparse(model, step)
        function: StepFunction = imported(KINDS[step.kind].function)
        result = function(
            model,
            step,
            data=data,
            samples=samples,
            table=table,
            evaluate=eval,
            max_drop=max_drop,
            target=target,
            report=report,
            progress=progress or (lambda phase: None),
        )
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


def _recorded(result: StepResult, step: Step, before: Model) -> Model:
    if result.model.module.same_as(before.module) and not result.is_judged:
        reasons = "; ".join(dict.fromkeys(decision.reason for decision in result.decisions)) or "no layer fits it"
        raise InvalidRecipeError(f"the step {step.kind!r} changed nothing: {reasons:.400}; leave it out")
    record = CompressionStep(step.kind, step.to_data(), tuple(result.decisions), result.figures)
    module = restore_weights(before.module, result.model.module)
    return dataclasses.replace(result.model, module=module, history=(*before.history, record))
