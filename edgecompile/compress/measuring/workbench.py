"""`Workbench`: compiles variants of a model, and says what each takes on the target and how large it is."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgecompile.artifact.artifact import Artifact
from edgecompile.artifact.machine import runs_here
from edgecompile.compress.measuring.timing import Cost, time_in_turns, time_layers
from edgecompile.frontend.model import Model
from edgecompile.target import Target, find_target

if TYPE_CHECKING:
    import numpy as np
    import tvm

    from edgecompile.compress.driver import Predict

MEASURED, ESTIMATED = "ms", "cycles"
"""Units of costs: measured here, or estimated by the planner of layouts for a target that cannot run here."""


@dataclass(frozen=True)
class Candidate:
    """A variant that could ship.

    Attributes:
        name: for people: "float", "int8", "mixed".
        module: what it was compiled from.
        artifact: for this machine, which gives the same answers as the target where all is integer.
        library_bytes, weight_bytes: of the target's library and weights.
        cycles: of each layer, estimated; empty where the target runs here.
        all_cycles: of the whole model, likewise; 0 where the target runs here.
    """

    name: str
    module: tvm.IRModule
    artifact: Artifact
    library_bytes: int
    weight_bytes: int
    cycles: Mapping[str, float]
    all_cycles: float

    @property
    def predict(self) -> Predict:
        """The function that computes it."""
        return lambda inputs: self.artifact.run(*inputs)

    @property
    def total_bytes(self) -> int:
        """What ships: library and weights."""
        return self.library_bytes + self.weight_bytes


class Workbench:
    """Holds compiled variants in a temporary folder; use it in a `with` statement.

    Args:
        model: whose module the variants replace.
        layers: whose costs are asked for.
        target: that they are for.
        sample: the inputs, by name, that are timed; the self-test's where it is empty.
    """

    def __init__(
        self,
        model: Model,
        layers: Collection[str],
        target: Target,
        sample: Mapping[str, np.ndarray],
        progress: Callable[[str], None],
    ) -> None:
        self._layers = layers
        self._model, self._target, self._sample, self._progress = model, target, sample, progress
        self._is_here = runs_here(target)
        self._folder = tempfile.TemporaryDirectory(prefix="edgecompile-")
        self._built: list[Candidate] = []
        self.unit = MEASURED if self._is_here else ESTIMATED

    def build(self, name: str, module: tvm.IRModule) -> Candidate:
        """Compile a variant; its speed is as the target's default compilation makes it."""
        from edgecompile.compress.measuring.estimate import estimated_cycles
        from edgecompile.driver import compile

        self._progress(f"compile {name}")
        model = dataclasses.replace(self._model, module=module, reference=None, history=())
        place = Path(self._folder.name) / str(len(self._built))
        target = self._target if self._is_here else find_target("host")
        artifact = shipped = compile(model, target, place)
        cycles: dict[str, float] = {}
        if not self._is_here:
            shipped = compile(model, self._target, place.with_name(f"{place.name}-target"))
            cycles = estimated_cycles(module, self._target, self._layers)
        manifest = shipped.manifest
        self._built.append(
            Candidate(
                name=name,
                module=module,
                artifact=artifact,
                library_bytes=manifest.files[manifest.library].bytes,
                weight_bytes=manifest.weight_bytes,
                cycles=cycles,
                all_cycles=sum(cycles.values()),
            )
        )
        return self._built[-1]

    def compare(self, candidates: Sequence[Candidate]) -> list[Cost]:
        """What one inference of each takes, in `unit`."""
        self._progress(f"compare {', '.join(candidate.name for candidate in candidates)}")
        if self._is_here:
            return time_in_turns([candidate.artifact for candidate in candidates], self._sample)
        first = candidates[0].all_cycles
        return [Cost(other.all_cycles, other.all_cycles, other.all_cycles / max(first, 1.0)) for other in candidates]

    def layer_costs(self, candidates: Sequence[Candidate]) -> list[dict[str, float]]:
        """What each layer of each candidate takes, in `unit`; those whose kernels are not known are left out."""
        self._progress("time the layers")
        if not self._is_here:
            return [
                {layer: candidate.cycles[layer] for layer in self._layers if layer in candidate.cycles}
                for candidate in candidates
            ]
        return time_layers([candidate.artifact for candidate in candidates], self._layers, self._sample)

    def __enter__(self) -> Workbench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for candidate in self._built:
            candidate.artifact.close()
        self._folder.cleanup()
