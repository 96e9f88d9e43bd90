"""Files of sensitivities with levels, as a selection reads them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.sensitivity.grid import SensitivityGrid, read_grid
from edgecompile.compress.sensitivity.record import model_checksum
from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    from edgecompile.frontend.model import Model

_DIGITS = 9  # of a drop: 1 - 0.97 is not above 0.03


@dataclass(frozen=True)
class LevelKind:
    """What the levels of one kind of step are; no level reaches 1.

    Attributes:
        kind: of the step, as in recipes.
        level: as in files, see `SensitivityGrid`.
        step: for people, such as "pruning".
        levels: for people, such as "ratios".
        layer: for people, what has levels, such as "group".
    """

    kind: str
    level: str
    step: str
    levels: str
    layer: str

    @property
    def how(self) -> str:
        """The command that makes such a file."""
        return f"`edgecompile analyze MODEL --recipe {self.kind},... --calib ... --eval ... -o FILE.json`"


def read_levels(path: Path, of: LevelKind) -> SensitivityGrid:
    """A file of sensitivities that `edgecompile analyze` wrote, and a person may have edited.

    Raises:
        InvalidInputError: there is none, it cannot be read, or it is of another step.
    """
    found = read_grid(path)
    if found is None:
        raise InvalidInputError(f"there is no file of sensitivities at {path}: make one by {of.how}")
    if (found.kind, found.level) != (of.kind, of.level):
        raise InvalidInputError(
            f"needed sensitivities of {of.step}, found those of {found.kind!r} in {path}: make them by {of.how}"
        )
    wrong = next((level for levels in found.layers.values() for level in levels if level >= 1), None)
    if wrong is not None:
        raise InvalidInputError(f"{of.levels} of {of.step} must be below 1, found {wrong:g} in {path}")
    return found


def check_fits(found: SensitivityGrid, path: Path, of: LevelKind, model: Model, layers: Collection[str]) -> None:
    """Refuse the sensitivities of something else.

    Args:
        path: of the file.
        layers: of the model, that can have levels.

    Raises:
        InvalidInputError: they are of another model, or have a layer that the model has not.
    """
    if found.key.model != model_checksum(model):
        raise InvalidInputError(f"{path} has the sensitivities of another model: analyze this one")
    unknown = next((name for name in found.layers if name not in layers), None)
    if unknown is not None:
        raise InvalidInputError(f"{path} has the {of.layer} {unknown!r:.60}, which the model has not: remove it")


def drops_of(found: SensitivityGrid, max_drop: float) -> dict[str, dict[float, float]]:
    """By layer and level, by how much the metric fell; a layer of which all levels are missing is left out.

    Args:
        found: from `read_levels`.
        max_drop: that they will be compared to: at least 0, in the metric's unit.

    Raises:
        InvalidInputError: the limit is below 0, or the sensitivities have no metric.
    """
    if not max_drop >= 0:
        raise InvalidInputError(f"max_drop must be at least 0, found {max_drop}")
    drops: dict[str, dict[float, float]] = {}
    for layer, levels in found.layers.items():
        for level, effect in levels.items():
            drop = found.drop(effect)
            if drop is None:
                raise InvalidInputError(
                    f"the sensitivities have no metric of {layer!r}, so that no drop can be told: analyze with --eval"
                )
            drops.setdefault(layer, {})[level] = round(drop, _DIGITS)
    return drops
