"""`measure_levels`: what each layer loses at several levels, of any kind of step that has some."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.sensitivity.grid import SensitivityGrid
from edgecompile.compress.sensitivity.level_file import LevelKind
from edgecompile.compress.sensitivity.measure import Progress
from edgecompile.compress.sensitivity.measure_grid import GridJob, LevelVariants, Timer, known_grid, measure_grid
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.compress.sensitivity.noise import Samples
from edgecompile.compress.sensitivity.record import Effect, Key, model_checksum, text_checksum
from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    from edgecompile.compress.driver import Evaluate
    from edgecompile.frontend.model import Model

LEVELS = (0.25, 0.5, 0.75)
"""That are measured where none are given."""

SAMPLES_KEPT = 32
"""For signal-to-noise ratios."""


@dataclass(frozen=True)
class LevelAnalysis:
    """What one kind of step brings to its analysis.

    Attributes:
        of: the kind.
        model: as the user has it.
        facts: all that the numbers depend on beside the model, the samples and the metric.
        levels: of each layer, in order of execution.
        together: levels of which all layers are measured at once.
        samples: for the signal-to-noise ratio; none are fine.
        samples_sha256: of all samples that the numbers depend on; "" without samples.
        variants: opens what computes the model with layers at any levels.
        timer: opens what times it; None where no times are asked for.
        forms: what layers become at their levels, for people; see `LevelEffect`.
    """

    of: LevelKind
    model: Model
    facts: Iterable[bytes]
    levels: Mapping[str, Sequence[float]]
    together: Sequence[float]
    samples: Samples
    samples_sha256: str
    variants: Callable[[], AbstractContextManager[LevelVariants]]
    timer: Callable[[], AbstractContextManager[Timer]] | None
    forms: Mapping[tuple[str, float], str] = field(default_factory=dict)


def measure_levels(
    analysis: LevelAnalysis, evaluate: Evaluate | None, path: Path | None, progress: Progress
) -> SensitivityGrid:
    """Each level of each layer alone, then of all together; arguments as of `analyze`.

    Raises:
        InvalidInputError, OutputError: see `measure_grid`; a file that does not fit is refused before anything opens.
    """
    metric = Metric(evaluate) if evaluate is not None else None
    key = Key(
        model=model_checksum(analysis.model),
        step=text_checksum(analysis.facts),
        samples=analysis.samples_sha256,
        metric=metric.name if metric is not None else "",
    )
    of = analysis.of
    start = SensitivityGrid(name=analysis.model.name, kind=of.kind, level=of.level, key=key, uncompressed=Effect())
    known_grid(path, start)  # before minutes are spent
    with contextlib.ExitStack() as stack:
        variants = stack.enter_context(analysis.variants())
        job = GridJob(
            start=start,
            levels=analysis.levels,
            together=analysis.together,
            samples=analysis.samples,
            metric=metric,
            timer=stack.enter_context(analysis.timer()) if analysis.timer is not None else None,
            path=path,
            forms=analysis.forms,
        )
        return measure_grid(job, variants, progress)


def checked_levels(
    levels: Sequence[float] | None, of: LevelKind, is_allowed: Callable[[float], bool], allowed: str
) -> list[float]:
    """The levels to measure, the least first, each once.

    Args:
        levels: `LEVELS` where it is None.
        is_allowed: says of a level above 0 whether it may be.
        allowed: the same for people, such as "below 1".

    Raises:
        InvalidInputError: there are none, or one may not be.
    """
    found = sorted(set(LEVELS if levels is None else levels))
    wrong = next((level for level in found if not (level > 0 and is_allowed(level))), None)
    if wrong is not None or not found:
        named = "none" if wrong is None else f"{wrong:g}"
        raise InvalidInputError(f"{of.levels} to analyze must be above 0 and {allowed}, found {named}")
    return found


def refuse_table(table: str | os.PathLike[str] | None, of: LevelKind) -> None:
    """
    Raises:
        InvalidInputError: there is a calibration table, of ranges that no step with levels asks for.
    """
    if table is not None:
        raise InvalidInputError(f"{of.step} has no use for a calibration table, found one; give data")
