"""`judge_model`: whether a changed model ships: it is faster or smaller, and its metric does not fall too far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.compress.measuring.workbench import Workbench
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.decision import OUTCOME_STEP, Decision
from edgecompile.frontend.model import Model
from edgecompile.target import find_target

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.compress.driver import Evaluate

FASTER = 0.98  # of the time: with less to gain, noise decides
SMALLER = 0.98  # of library and weights


@dataclass(frozen=True)
class ModelJudgement:
    """What was measured of a model before and after a step.

    Attributes:
        ships: True where the changed model does.
        outcome: why, as a decision about the model.
        figures: "before" and "after", see `CompressionStep.figures`.
    """

    ships: bool
    outcome: Decision
    figures: Mapping[str, Mapping[str, float]]


def judge_model(
    before: Model,
    after: Model,
    target: str,
    evaluate: Evaluate | None,
    max_drop: float | None,
    sample: Mapping[str, np.ndarray],
    progress: Callable[[str], None],
) -> ModelJudgement:
    """Compile both for a target, and measure time, size and the metric.

    Args:
        sample: the inputs, by name, that are timed; the self-test's where it is empty.
        evaluate, max_drop: as of `compress`.

    Raises:
        InvalidInputError: see `Metric`.
        UnknownTargetError: there is no such target.
    """
    metric = Metric(evaluate) if evaluate is not None else None
    with Workbench(before, (), find_target(target), sample, progress) as bench:
        candidates = [bench.build("the model as it was", before.module), bench.build("changed", after.module)]
        costs = bench.compare(candidates)
        values = [None if metric is None else metric(candidate.predict) for candidate in candidates]
        unit = bench.unit
    figures = {
        name: {
            unit: cost.median,
            "bytes": float(candidate.total_bytes),
            "MACs": float(model.macs),
            "parameters": float(model.params),
            **({} if value is None else {"metric": value}),
        }
        for name, model, candidate, cost, value in zip(
            ("before", "after"), (before, after), candidates, costs, values, strict=True
        )
    }
    time, size = costs[1].ratio, candidates[1].total_bytes / candidates[0].total_bytes
    measured = f"{time:.3f} of the time, {size:.3f} of the bytes"
    drop = 0.0
    if metric is not None and values[0] is not None and values[1] is not None:
        drop = values[0] - values[1]
        measured += f", {metric.name} {values[0]:.4g} to {values[1]:.4g}"
    if max_drop is not None and drop > max_drop + 1e-9 * max(1.0, abs(values[0] or 0.0)):
        ships, reason = (
            False,
            f"left as it was: the metric would fall by {drop:.4g}, {max_drop:g} are allowed ({measured})",
        )
    elif time > FASTER and size > SMALLER:
        ships, reason = False, f"left as it was: neither faster nor smaller ({measured})"
    else:
        ships, reason = True, measured
    return ModelJudgement(ships, Decision(OUTCOME_STEP, before.name, ships, reason), figures)
