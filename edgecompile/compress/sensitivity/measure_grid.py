"""`measure_grid`: compress one layer at a time to several levels, and see what each costs and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgecompile.compress.sensitivity.grid import LevelEffect, SensitivityGrid, read_grid
from edgecompile.compress.sensitivity.measure import Progress
from edgecompile.compress.sensitivity.noise import Samples, answers, signal_to_noise_db
from edgecompile.compress.sensitivity.record import Effect
from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    from edgecompile.compress.driver import Predict
    from edgecompile.compress.sensitivity.metric import Metric


class LevelVariants(Protocol):
    """Answers what a model computes with layers at any levels."""

    def predict(self, levels: Mapping[str, float]) -> Predict:
        """The function that computes the model with these layers at these levels, the others as they were; good until
        the next call."""


class Timer(Protocol):
    """Answers what a model takes with layers at any levels.

    Attributes:
        target: by name.
        is_estimated: since the target cannot run here.
    """

    target: str
    is_estimated: bool

    def time(self, levels: Mapping[str, float]) -> float:
        """As a part of what it takes with all layers as they were."""


@dataclass(frozen=True)
class GridJob:
    """What is measured.

    Attributes:
        start: the result without its numbers.
        levels: of each layer, in order of execution.
        together: levels of which all layers are measured at once.
        samples: for the signal-to-noise ratio; none are fine.
        timer: None where no times are asked for.
        path: of a file that is written after each level.
    """

    start: SensitivityGrid
    levels: Mapping[str, Sequence[float]]
    together: Sequence[float]
    samples: Samples
    metric: Metric | None
    timer: Timer | None
    path: Path | None

    def cells(self) -> list[tuple[str | None, float]]:
        """Layers with levels; None for all layers."""
        alone = [(layer, level) for layer, levels in self.levels.items() for level in levels]
        return [*alone, *((None, level) for level in self.together)]

    def choice(self, layer: str | None, level: float) -> dict[str, float]:
        """What is at which level."""
        return dict.fromkeys(self.levels, level) if layer is None else {layer: level}


def measure_grid(job: GridJob, variants: LevelVariants, progress: Progress) -> SensitivityGrid:
    """The effect of each level of each layer alone, and of all together; then their times.

    What the file already has is not measured again, other layers and levels in it stay.

    Raises:
        InvalidInputError: the metric is no number; the path names a file of another kind, or with sensitivities of
            another model, recipe, data or metric.
        OutputError: the file cannot be written.
    """
    progress("sensitivity", 0, len(job.cells()))
    plain = variants.predict({})
    expected = answers(plain, job.samples)
    grid = _known(job, Effect(metric=None if job.metric is None else job.metric(plain)))
    todo = [cell for cell in job.cells() if grid.effect(*cell) is None]
    for done, (layer, level) in enumerate(todo):
        progress("sensitivity", done, len(todo))
        predict = variants.predict(job.choice(layer, level))
        effect = LevelEffect(
            snr_db=signal_to_noise_db(expected, answers(predict, job.samples)) if job.samples else None,
            metric=None if job.metric is None else job.metric(predict),
        )
        grid = _kept(grid.changed(layer, level, effect), job)
    progress("sensitivity", len(todo), len(todo))
    return grid if job.timer is None else _timed(grid, job, job.timer, progress)


def _timed(grid: SensitivityGrid, job: GridJob, timer: Timer, progress: Progress) -> SensitivityGrid:
    if (grid.target, grid.is_estimated) != (timer.target, timer.is_estimated):
        grid = grid.without_times().model_copy(update={"target": timer.target, "is_estimated": timer.is_estimated})
    effects = {cell: effect for cell in job.cells() if (effect := grid.effect(*cell)) is not None}
    todo = {cell: effect for cell, effect in effects.items() if effect.time is None}
    for done, ((layer, level), effect) in enumerate(todo.items()):
        progress("times", done, len(todo))
        time = timer.time(job.choice(layer, level))
        grid = _kept(grid.changed(layer, level, effect.model_copy(update={"time": time})), job)
    progress("times", len(todo), len(todo))
    return grid


def _known(job: GridJob, uncompressed: Effect) -> SensitivityGrid:
    start = job.start.model_copy(update={"uncompressed": uncompressed})
    known = read_grid(job.path) if job.path is not None else None
    if known is None:
        return start
    if (known.kind, known.level) != (start.kind, start.level):
        different = [f"the step {known.kind!r}"]
    else:
        different = [
            name for name in type(start.key).model_fields if getattr(known.key, name) != getattr(start.key, name)
        ]
        if not different and known.uncompressed != uncompressed:
            different = [f"a metric that was {known.uncompressed.metric} before and is {uncompressed.metric}"]
    if different:
        raise InvalidInputError(
            f"{job.path} has sensitivities of another {' and '.join(different)}: name another file, or remove it"
        )
    return known


def _kept(grid: SensitivityGrid, job: GridJob) -> SensitivityGrid:
    ordered = grid.ordered(list(job.levels))
    if job.path is not None:
        ordered.save(job.path)
    return ordered
