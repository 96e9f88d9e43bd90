"""`analyze_pruning`: what each group of channels loses at several ratios."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.importance import Evidence, scores
from edgecompile.compress.prune.recipe import PruneStep
from edgecompile.compress.prune.resolve import resolve
from edgecompile.compress.prune.rewrite import remove
from edgecompile.compress.prune.selection.rounding import vector_multiple
from edgecompile.compress.prune.sensitivity.ratios import PRUNING
from edgecompile.compress.prune.sensitivity.removal import Removal
from edgecompile.compress.prune.sensitivity.variants import MaskedVariants
from edgecompile.compress.samples.replay import Replay
from edgecompile.compress.sensitivity.grid import SensitivityGrid
from edgecompile.compress.sensitivity.level_analysis import (
    SAMPLES_KEPT,
    LevelAnalysis,
    checked_levels,
    measure_levels,
    refuse_table,
)
from edgecompile.compress.sensitivity.level_timer import LevelTimer
from edgecompile.compress.sensitivity.measure import Progress
from edgecompile.compress.sensitivity.record import samples_checksum
from edgecompile.target import find_target

if TYPE_CHECKING:
    import tvm

    from edgecompile.compress.driver import Data, Evaluate
    from edgecompile.frontend.model import Model


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
            needs data, and there are none; see `measure_grid`, `LevelTimer`.
    """
    ratios = checked_levels(levels, PRUNING, lambda ratio: ratio <= step.most, f"at most most={step.most:g}")
    refuse_table(table, PRUNING)
    device = find_target(target)

    def tell(phase: str) -> None:
        progress(phase, 0, None)

    tell("groups")
    groups = find_groups(model.module)
    names = [found.group.name for found in resolve(step, groups) if not found.rule.skip]
    replay = Replay(data, model.inputs, samples) if data is not None else None
    kept = list(itertools.islice(replay, SAMPLES_KEPT)) if replay is not None else []
    tell(f"importance by {step.importance}")
    evidence = Evidence(model, groups, replay, seed=step.seed, progress=tell)
    removal = Removal(
        groups,
        scores(groups, step.importance, evidence),
        most=step.most,
        round_to=vector_multiple(device) if step.round_to == "auto" else step.round_to,
    )

    def pruned(ratios: Mapping[str, float]) -> tvm.IRModule | None:
        removed = removal.channels(ratios)
        return remove(model.module, groups, removed) if removed else None

    analysis = LevelAnalysis(
        of=PRUNING,
        model=model,
        facts=removal.facts(),
        levels=dict.fromkeys(names, ratios),
        together=ratios if len(names) > 1 else (),
        samples=kept,
        samples_sha256=samples_checksum(kept),
        variants=lambda: MaskedVariants(model, groups, removal, tell),
        timer=(lambda: LevelTimer(model, pruned, device, kept[0] if kept else {})) if timed else None,
    )
    return measure_levels(analysis, evaluate, path, progress)
