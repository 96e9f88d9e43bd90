"""`analyze_pruning`: what each group of channels loses at several ratios."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.recipe import PruneStep
from edgecompile.compress.prune.resolve import resolve
from edgecompile.compress.prune.sensitivity.order import Order, Scores, l2_norms
from edgecompile.compress.prune.sensitivity.timer import PrunedTimer
from edgecompile.compress.prune.sensitivity.variants import MaskedVariants
from edgecompile.compress.quantize.data import read_samples
from edgecompile.compress.sensitivity.grid import SensitivityGrid
from edgecompile.compress.sensitivity.measure import Progress
from edgecompile.compress.sensitivity.measure_grid import GridJob, known_grid, measure_grid
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.compress.sensitivity.record import Effect, Key, model_checksum, samples_checksum, text_checksum
from edgecompile.errors import InvalidInputError
from edgecompile.target import find_target

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate
    from edgecompile.compress.sensitivity.noise import Samples
    from edgecompile.frontend.model import Model

RATIOS = (0.25, 0.5, 0.75)
_SAMPLES_KEPT = 32  # for signal-to-noise ratios


def analyze_pruning(
    model: Model,
    step: PruneStep,
    *,
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
    evaluate: Evaluate | None,
    path: Path | None,
    levels: Sequence[float] | None,
    target: str | None,
    progress: Progress,
    scores: Scores = l2_norms,
) -> SensitivityGrid:
    """See `AnalysisFunction`; the levels are ratios, from 0 to 1.

    The least important channels of one group go, all other groups stay whole; at last those of all groups. Groups that
    the recipe skips are left out; its ratios and budgets say nothing here.

    Args:
        scores: how important channels are.

    Raises:
        InvalidRecipeError: the model has nothing to prune, or a rule of the step does not fit it.
        InvalidInputError: a ratio is not between 0 and 1; a table is given; see `measure_grid`.
    """
    ratios = sorted(set(RATIOS if levels is None else levels))
    wrong = next((ratio for ratio in ratios if not 0 < ratio < 1), None)
    if wrong is not None or not ratios:
        raise InvalidInputError(f"ratios of pruning must be above 0 and below 1, found {wrong or 'none'}")
    if table is not None:
        raise InvalidInputError("pruning has no use for a calibration table, found one; give data")
    device = find_target(target) if target is not None else None

    def tell(phase: str) -> None:
        progress(phase, 0, None)

    tell("groups")
    groups = find_groups(model.module)
    names = [found.group.name for found in resolve(step, groups) if not found.rule.skip]
    kept = _first(data, samples, model)
    order = Order(groups, scores)
    metric = Metric(evaluate) if evaluate is not None else None
    key = Key(
        model=model_checksum(model),
        step=text_checksum(order.channels[group.name].tobytes() for group in groups),
        samples=samples_checksum(kept),
        metric=metric.name if metric is not None else "",
    )
    start = SensitivityGrid(name=model.name, kind="prune", level="ratio", key=key, uncompressed=Effect())
    known_grid(path, start)  # before minutes are spent
    with contextlib.ExitStack() as stack:
        variants = stack.enter_context(MaskedVariants(model, groups, order, tell))
        timer = None
        if device is not None:
            timer = stack.enter_context(PrunedTimer(model, groups, order, device, kept[0] if kept else {}))
        job = GridJob(
            start=start,
            levels=dict.fromkeys(names, ratios),
            together=ratios if len(names) > 1 else (),
            samples=kept,
            metric=metric,
            timer=timer,
            path=path,
        )
        return measure_grid(job, variants, progress)


def _first(data: Data | None, samples: int | None, model: Model) -> Samples:
    if data is None:
        return []
    return list(itertools.islice(read_samples(data, model.inputs), min(samples or _SAMPLES_KEPT, _SAMPLES_KEPT)))
