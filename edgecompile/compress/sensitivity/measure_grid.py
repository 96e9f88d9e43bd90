"""`measure_grid`: compress one layer at a time to several levels, and see what each costs and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        forms: what a layer becomes at a level, for people; none for all together.
    """

    start: SensitivityGrid
    levels: Mapping[str, Sequence[float]]
    together: Sequence[float]
    samples: Samples
    metric: Metric | None
    timer: Timer | None
    path: Path | None
    forms: Mapping[tuple[str, float], str] = field(default_factory=dict)

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
        InvalidInputError: the metric is no number; the file is of another kind, or has sensitivities of another model,
            step, data or metric: what a person may have edited is not overwritten.
        OutputError: the file cannot be written.
    """
    progress("sensitivity", 0, len(job.cells()))
    plain = variants.predict({})
    expected = answers(plain, job.samples)
    grid = _started(job, Effect(metric=None if job.metric is None else job.metric(plain)))
    todo = [cell for cell in job.cells() if grid.effect(*cell) is None]
    for done, (layer, level) in enumerate(todo):
        progress("sensitivity", done, len(todo))
        predict = variants.predict(job.choice(layer, level))
        ratio = signal_to_noise_db(expected, answers(predict, job.samples)) if job.samples else None
        effect = LevelEffect(
            snr_db=None if ratio is None else round(ratio, 3),
            metric=None if job.metric is None else job.metric(predict),
            form=None if layer is None else job.forms.get((layer, level)),
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
        time = round(timer.time(job.choice(layer, level)), 4)
        grid = _kept(grid.changed(layer, level, effect.model_copy(update={"time": time})), job)
    progress("times", len(todo), len(todo))
    return grid


def known_grid(path: Path | None, start: SensitivityGrid) -> SensitivityGrid | None:
    """What the file has for a result without its numbers; None where there is no file.

    Raises:
        InvalidInputError: see `measure_grid`.
    """
    known = read_grid(path) if path is not None else None
    if known is None:
        return None
    if (known.kind, known.level) != (start.kind, start.level):
        different = "kind of step"
    else:
        pairs = zip(known.key, start.key, strict=True)
        different = " and ".join(name for (name, there), (_, here) in pairs if there != here)
    if different:
        raise InvalidInputError(f"{path} has sensitivities of another {different}: name another file, or remove it")
    return known


def _started(job: GridJob, uncompressed: Effect) -> SensitivityGrid:
    known = known_grid(job.path, job.start)
    if known is None:
        return job.start.model_copy(update={"uncompressed": uncompressed})
    if known.uncompressed != uncompressed:
        raise InvalidInputError(
            f"{job.path} has sensitivities by another evaluation: it gave {known.uncompressed.metric} of the "
            f"uncompressed model, and now gives {uncompressed.metric}; name another file, or remove it"
        )
    return known


def _kept(grid: SensitivityGrid, job: GridJob) -> SensitivityGrid:
    ordered = grid.ordered(list(job.levels))
    if job.path is not None:
        ordered.save(job.path)
    return ordered
