"""`factorise`: the low-rank step of a recipe."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.lowrank.choose import choose
from edgecompile.compress.lowrank.prepare import prepare, with_module
from edgecompile.compress.lowrank.recipe import LowRankStep
from edgecompile.compress.lowrank.refit import Refit
from edgecompile.compress.lowrank.rewrite import rewrite
from edgecompile.compress.lowrank.table import count_of, decisions_of, figures_of, sizes_of
from edgecompile.compress.reconstruct import how_to_fit
from edgecompile.compress.samples.replay import Replay
from edgecompile.decision import OUTCOME_STEP, Decision
from edgecompile.frontend.model import Model
from edgecompile.target import find_target

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate, StepResult
    from edgecompile.compress.lowrank.factors import Factors
    from edgecompile.compress.lowrank.solve import Chosen

_FLOAT_BYTES = 4


def factorise(
    model: Model,
    step: LowRankStep,
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
    """The model with layers of lower rank, and its weights fitted to that; arguments as of `compress`.

    With `evaluate`, with `report` and for a budget of latency, what is not faster on the target stays as it was;
    otherwise multiply-accumulates and parameters alone decide. A calibration table says nothing here: without data the
    errors are those of weights.

    Raises:
        InvalidRecipeError: the recipe does not fit the model, or its budget cannot be met.
        InvalidInputError: the recipe asks to reconstruct, and there are no data; or see `compress`.
        InvalidCalibrationError: see `compress`.
    """
    from edgecompile.compress.driver import StepResult

    del table
    device = find_target(target)
    replay = Replay(data, model.inputs, samples) if data is not None else None
    how = how_to_fit(step.reconstruct, replay)
    with tempfile.TemporaryDirectory(prefix="edgecompile-") as folder:
        ready = prepare(
            model,
            step,
            samples=replay,
            lanes=device.cpu.vector_bytes // _FLOAT_BYTES,
            folder=Path(folder),
            progress=progress,
        )
        refit = Refit(ready.model, replay, how, progress)
        has_latency = step.budget is not None and step.budget.latency is not None
        if evaluate is not None or report is not None or has_latency:
            from edgecompile.compress.lowrank.judge import judged_step

            return judged_step(
                model,
                ready,
                step,
                refit,
                evaluate=evaluate,
                max_drop=max_drop,
                target=device,
                report=report,
                progress=progress,
            )
        what, share = "params", None
        if step.budget is not None:
            what, share = step.budget.what, step.budget.share
        chosen = choose(ready, ready.costs("macs" if what == "macs" else "params"), share)
        factors = make(chosen, progress)
        decisions = decisions_of(ready, chosen, factors)
        if not factors:
            return StepResult(model, decisions)  # the caller says so
        module, fitted = refit(rewrite(ready.model.module, factors))
        what_is_left = (
            f"{count_of(factors)}: {sizes_of(ready, chosen)}; judged by these alone, not by time: give an "
            "eval or report to measure"
        )
        outcome = Decision(OUTCOME_STEP, model.name, True, what_is_left)
        return StepResult(
            with_module(model, module, ready.sample),
            [outcome, *decisions, *fitted],
            figures_of(ready, chosen, factors),
        )


def make(chosen: Chosen, progress: Callable[[str], None]) -> dict[str, Factors]:
    """The factors of the layers that get some."""
    factors = {}
    for name, choice in chosen.items():
        if choice is not None:
            progress(f"factorise {name}: {choice.name}")
            factors[name] = choice.method.factors(choice.ranks)
    return factors
