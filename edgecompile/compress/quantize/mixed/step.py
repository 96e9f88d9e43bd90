"""The quantize step where measurements decide: a prepared quantization to what ships, with its report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.mixed.job import Job
from edgecompile.compress.quantize.mixed.judge import judge
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.compress.sensitivity.record import Key, model_checksum, samples_checksum, text_checksum
from edgecompile.decision import OUTCOME_STEP, Decision
from edgecompile.target import find_target

if TYPE_CHECKING:
    import tvm

    from edgecompile.compress.driver import Evaluate, StepResult
    from edgecompile.compress.quantize.prepared import Prepared
    from edgecompile.compress.quantize.recipe import QuantizeStep
    from edgecompile.frontend.model import Model

STEP = "JudgeLayers"
SENSITIVITY_NAME = "sensitivity.json"


def judged_step(
    model: Model,
    ready: Prepared,
    layers: tuple[str, ...],
    step: QuantizeStep,
    *,
    evaluate: Evaluate | None,
    max_drop: float | None,
    target: str,
    report: str | os.PathLike[str] | None,
    progress: Callable[[str], None],
) -> StepResult:
    """The model with the layers in int8 that pay, or as it was; other arguments as of `compress`.

    Args:
        layers: that can be quantized, in order of execution.

    Raises:
        InvalidInputError: see `Metric`.
        UnknownTargetError: there is no such target.
        OutputError, ToolchainError: the report cannot be written, or needs matplotlib.
    """
    from edgecompile.compress.driver import StepResult

    device = find_target(target)
    folder = _folder(report) if report is not None else None
    metric = Metric(evaluate) if evaluate is not None else None
    job = Job(
        model=ready.model,
        layers=layers,
        compressed=compressed_of(ready),
        samples=ready.samples,
        key=key_of(ready, step, metric),
        metric=metric,
        max_drop=max_drop,
        target=device,
        sensitivity_path=folder / SENSITIVITY_NAME if folder is not None else None,
    )
    verdict = judge(job, progress)
    outcome = Decision(OUTCOME_STEP, model.name, bool(verdict.layers), verdict.judgement.outcome)
    others = ready.insert(verdict.layers).decisions
    decisions = [
        *ready.decisions,
        outcome,
        *verdict.judgement.decisions(STEP),
        *(decision for decision in others if decision.subject not in layers),
    ]
    if folder is not None:
        from edgecompile.report import write_report

        write_report(folder, verdict.judgement, ready, progress)
    changed = ready.renewed(model, verdict.module) if verdict.layers else model
    return StepResult(changed, decisions, verdict.judgement.figures, is_judged=True)


def compressed_of(ready: Prepared) -> Callable[[frozenset[str]], tvm.IRModule]:
    """The module for a choice of layers."""
    return lambda layers: ready.insert(layers).module


def key_of(ready: Prepared, step: QuantizeStep, metric: Metric | None) -> Key:
    """What sensitivities of this quantization belong to."""
    recipe = json.dumps(step.to_data(), sort_keys=True)
    ranges = {name: [found.low, found.high] for name, found in sorted(ready.ranges.items())}
    return Key(
        model=model_checksum(ready.model),
        step=text_checksum([recipe.encode(), json.dumps(ranges).encode()]),
        samples=samples_checksum(ready.samples),
        metric=metric.name if metric is not None else "",
    )


def _folder(report: str | os.PathLike[str]) -> Path:
    from edgecompile.report import report_folder

    return report_folder(report)
