"""`SensitivityGrid`: what each layer loses at several levels of compression, as JSON that a person can edit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edgecompile.artifact.manifest import Finite, Frozen
from edgecompile.compress.sensitivity.record import Effect, Key, read_record


class LevelEffect(Effect):
    """What one level of one layer costs, and what it gives.

    Attributes:
        time: of the whole model on the target, as a part of the uncompressed model's; None where it was not asked for.
        form: what the layer was, such as "tucker 16x32"; for people. None where the level says all.
    """

    time: Annotated[Finite, Field(gt=0)] | None = None
    form: str | None = None


Levels = dict[Annotated[Finite, Field(gt=0)], LevelEffect]
"""By the level, the least first."""


class SensitivityGrid(Frozen):
    """The content of a file of sensitivities with several levels for each layer.

    In the file each level of a layer is one line. What is edited there stays: lines that are missing are measured by
    the next analysis, and no selection uses them until then.

    Attributes:
        name: of the model; for people.
        kind: of the step that compresses the layers, such as "prune".
        level: what the levels are, such as "ratio".
        uncompressed: the model as it was.
        target: that the times are for; "" while none were asked for.
        is_estimated: the times are, since the target cannot run here.
        together: all layers at the same level.
        layers: each of them compressed alone, in order of execution.
    """

    schema_version: Literal[1] = 1
    name: str
    kind: str
    level: str
    key: Key
    uncompressed: Effect
    target: str = ""
    is_estimated: bool = False
    together: Levels = Field(default_factory=dict)
    layers: dict[Annotated[str, Field(min_length=1)], Levels] = Field(default_factory=dict)

    def effect(self, layer: str | None, level: float) -> LevelEffect | None:
        """Of one level of a layer, or of all together for None; None where it is not known."""
        return (self.together if layer is None else self.layers.get(layer, {})).get(level)

    def drop(self, effect: Effect) -> float | None:
        """By how much the metric fell; None where that is unknown."""
        if effect.metric is None or self.uncompressed.metric is None:
            return None
        return self.uncompressed.metric - effect.metric

    def changed(self, layer: str | None, level: float, effect: LevelEffect) -> SensitivityGrid:
        """With what one level of a layer costs, or all together for None."""
        known = self.together if layer is None else self.layers.get(layer, {})
        levels = dict(sorted({**known, level: effect}.items()))
        if layer is None:
            return self.model_copy(update={"together": levels})
        return self.model_copy(update={"layers": {**self.layers, layer: levels}})

    def ordered(self, layers: list[str]) -> SensitivityGrid:
        """With the layers in this order; others that are known come behind."""
        names = [*layers, *(name for name in self.layers if name not in layers)]
        return self.model_copy(update={"layers": {name: self.layers[name] for name in names if name in self.layers}})

    def without_times(self) -> SensitivityGrid:
        """With no times, so that they can be of another target."""

        def plain(levels: Levels) -> Levels:
            return {level: effect.model_copy(update={"time": None}) for level, effect in levels.items()}

        return self.model_copy(
            update={
                "target": "",
                "is_estimated": False,
                "together": plain(self.together),
                "layers": {name: plain(levels) for name, levels in self.layers.items()},
            }
        )

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        from edgecompile.artifact.write import write_file

        write_file(path, self._text().encode("ascii"))

    def _text(self) -> str:
        """JSON with one line for each level, which is what people edit."""
        document = self.model_dump(mode="json", exclude={"together", "layers"})
        lines = [f'  "{name}": {json.dumps(value)},' for name, value in document.items()]
        lines.append(f'  "together": {_levels(self.together, "  ")},')
        layers = [f"    {json.dumps(name)}: {_levels(levels, '    ')}" for name, levels in self.layers.items()]
        inner = "\n" + ",\n".join(layers) + "\n  " if layers else ""
        return "\n".join(["{", *lines, f'  "layers": {{{inner}}}', "}", ""])


def _levels(levels: Levels, indent: str) -> str:
    lines = [
        f'{indent}  "{level!r}": {json.dumps(effect.model_dump(mode="json", exclude_none=True))}'
        for level, effect in levels.items()
    ]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}" if lines else "{}"


def read_grid(path: Path) -> SensitivityGrid | None:
    """What a file holds; None where there is none.

    Raises:
        InvalidInputError: the file is something else, which shall not be overwritten.
    """
    return read_record(path, SensitivityGrid)
