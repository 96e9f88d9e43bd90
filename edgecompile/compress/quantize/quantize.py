"""`quantize`: one step of a recipe, from a float model to one with quantize and dequantize in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.prepare import prepare
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.frontend.model import Model

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate, StepResult


def quantize(
    model: Model,
    step: QuantizeStep,
    *,
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
    evaluate: Evaluate | None,
    max_drop: float | None,
    target: str,
    report: str | os.PathLike[str] | None,
    progress: Callable[[str], None],
) -> StepResult:
    """The model in QDQ form, and with stored weights; arguments as of `compress`.

    Raises:
        As for `prepare`, and `Metric`.
    """
    from edgecompile.compress.driver import StepResult

    is_judged = evaluate is not None or report is not None
    ready = prepare(model, step, data=data, samples=samples, table=table, progress=progress, keep=is_judged)
    inserted = ready.insert(ready.layers)
    decisions = [*ready.decisions, *inserted.decisions]
    if not any(decision.kept for decision in decisions):
        return StepResult(model, decisions)  # the caller says so
    if is_judged:
        from edgecompile.compress.quantize.mixed.step import judged_step

        return judged_step(
            model,
            ready,
            ready.quantized(inserted),
            step,
            evaluate=evaluate,
            max_drop=max_drop,
            target=target,
            report=report,
            progress=progress,
        )
    return StepResult(ready.renewed(model, inserted.module), decisions)
