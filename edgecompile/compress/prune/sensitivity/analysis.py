"""`analyze_pruning`: what each group of channels loses at several ratios."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.importance import Evidence, scores
from edgecompile.compress.prune.recipe import PruneStep
from edgecompile.compress.prune.resolve import resolve
from edgecompile.compress.prune.selection.rounding import vector_multiple
from edgecompile.compress.prune.sensitivity.removal import Removal
from edgecompile.compress.prune.sensitivity.timer import PrunedTimer
from edgecompile.compress.prune.sensitivity.variants import MaskedVariants
from edgecompile.compress.samples.replay import Replay
from edgecompile.compress.sensitivity.grid import SensitivityGrid
from edgecompile.compress.sensitivity.measure import Progress
from edgecompile.compress.sensitivity.measure_grid import GridJob, known_grid, measure_grid
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.compress.sensitivity.record import Effect, Key, model_checksum, samples_checksum, text_checksum
from edgecompile.errors import InvalidInputError
from edgecompile.target import find_target

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate
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
    target: str,
    timed: bool,
    progress: Progress,
) -> SensitivityGrid:
    """See `AnalysisFunction`; the levels are ratios, from 0 to 1.

    The least important channels of one group go, all other groups stay whole; at last those of all groups. How many
    are a ratio of a group is rounded as the step says, for the target. Nothing is reconstructed. Groups that the recipe
    skips are left out; its own ratios and budgets say nothing here.

    Raises:
        InvalidRecipeError: the model has nothing to prune, or a rule of the step does not fit it.
        InvalidInputError: a ratio is above what may go of a group, or not above 0; a table is given; the importance
            needs data, and there are none; see `measure_grid`, `PrunedTimer`.
    """
    ratios = sorted(set(RATIOS if levels is None else levels))
    wrong = next((ratio for ratio in ratios if not 0 < ratio <= step.most), None)
    if wrong is not None or not ratios:
        found = "none" if wrong is None else f"{wrong:g}"
        raise InvalidInputError(f"ratios to analyze must be above 0 and at most most={step.most:g}, found {found}")
    if table is not None:
        raise InvalidInputError("pruning has no use for a calibration table, found one; give data")
    device = find_target(target)

    def tell(phase: str) -> None:
        progress(phase, 0, None)

    tell("groups")
    groups = find_groups(model.module)
    names = [found.group.name for found in resolve(step, groups) if not found.rule.skip]
    replay = Replay(data, model.inputs, samples) if data is not None else None
    kept = list(itertools.islice(replay, _SAMPLES_KEPT)) if replay is not None else []
    tell(f"importance by {step.importance}")
    evidence = Evidence(model, groups, replay, seed=step.seed, progress=tell)
    removal = Removal(
        groups,
        scores(groups, step.importance, evidence),
        most=step.most,
        round_to=vector_multiple(device) if step.round_to == "auto" else step.round_to,
    )
    metric = Metric(evaluate) if evaluate is not None else None
    key = Key(
        model=model_checksum(model),
        step=text_checksum(removal.facts()),
        samples=samples_checksum(kept),
        metric=metric.name if metric is not None else "",
    )
    start = SensitivityGrid(name=model.name, kind="prune", level="ratio", key=key, uncompressed=Effect())
    known_grid(path, start)  # before minutes are spent
    with contextlib.ExitStack() as stack:
        variants = stack.enter_context(MaskedVariants(model, groups, removal, tell))
        timer = None
        if timed:
            timer = stack.enter_context(PrunedTimer(model, groups, removal, device, kept[0] if kept else {}))
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
