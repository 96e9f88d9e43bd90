"""`analyze_factorisation`: what each layer loses with several shares of its parameters."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.lowrank.prepare import Prepared, prepare
from edgecompile.compress.lowrank.recipe import LowRankStep
from edgecompile.compress.lowrank.sensitivity.factorised import Factorised
from edgecompile.compress.lowrank.sensitivity.shares import SHARES
from edgecompile.compress.lowrank.sensitivity.variants import WeightVariants
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
from edgecompile.errors import InvalidInputError
from edgecompile.target import find_target

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate
    from edgecompile.frontend.model import Model

_FLOAT_BYTES = 4


def analyze_factorisation(
    model: Model,
    step: LowRankStep,
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
    """See `AnalysisFunction`; the levels are shares of a layer's parameters that stay, from 0 to 1.

    One layer has the factors of the least error within its share, all others stay whole; at last all have some. The
    recipe's method counts, its ranks and budgets do not. Layers that it skips are left out, and so are shares that no
    rank reaches: ranks are multiples of what the target's vectors take.

    Raises:
        InvalidRecipeError: the model has nothing to factorise, or a rule of the step does not fit it.
        InvalidInputError: a share is not between 0 and 1, or none is reached; a table is given; see `measure_grid`,
            `LevelTimer`.
    """
    shares = checked_levels(levels, SHARES, lambda share: share < 1, "below 1")
    refuse_table(table, SHARES)
    device = find_target(target)
    lanes = device.cpu.vector_bytes // _FLOAT_BYTES

    def tell(phase: str) -> None:
        progress(phase, 0, None)

    replay = Replay(data, model.inputs, samples) if data is not None else None
    kept = list(itertools.islice(replay, SAMPLES_KEPT)) if replay is not None else []
    with tempfile.TemporaryDirectory(prefix="edgecompile-") as folder:
        ready = prepare(
            model,
            step.without_ranks(),
            samples=replay,
            lanes=lanes,
            folder=Path(folder),
            progress=tell,
        )
        factorised = Factorised(ready, shares)
        reached = [name for name, found in factorised.levels.items() if found]
        if not reached:
            raise InvalidInputError(
                f"no layer has ranks that leave at most {shares[-1]:g} of its parameters, in multiples of {lanes} for "
                f"{device.name}: analyze larger shares"
            )
        layers = [found.layer for found in ready.layers if found.layer.name in reached]
        analysis = LevelAnalysis(
            of=SHARES,
            model=model,
            facts=_facts(ready, lanes),
            levels=factorised.levels,
            together=shares if len(reached) > 1 else (),
            samples=kept,
            samples_sha256=samples_checksum(replay or ()),
            variants=lambda: WeightVariants(ready.model, layers, factorised, tell),
            timer=(lambda: LevelTimer(ready.model, factorised.module, device, ready.sample)) if timed else None,
            forms={at: choice.name for at, choice in factorised.choices.items()},
        )
        return measure_levels(analysis, evaluate, path, progress)


def _facts(ready: Prepared, lanes: int) -> Iterator[bytes]:
    """All that factors depend on, apart from the weights, the data and which layers are skipped."""
    yield f"{lanes}".encode()
    for found in ready.layers:
        yield f"{found.layer.name} {found.rule.method} {found.rule.activations}".encode()
