"""`MeasuredChoice`: what a compilation knows of measured times, and how it comes to know more."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from edgecompile.artifact.machine import check_machine
from edgecompile.errors import WrongMachineError
from edgecompile.family import family_of
from edgecompile.implementation import Implementation, Implementations
from edgecompile.passes import LAYOUTS, lower
from edgecompile.target import Target
from edgecompile.tune.conditions import conditions_of
from edgecompile.tune.measured import MeasuredImplementations
from edgecompile.tune.quick import is_worth_measuring, tune_quick
from edgecompile.tune.records import RecordsFile
from edgecompile.tune.workload import CollectedWorkloads, Workload

if TYPE_CHECKING:
    import tvm

Tune = Literal["quick"]


class MeasuredChoice:
    """The records for one compilation.

    Args:
        place: the records' file or folder; the cache's where it is None.
        target: what is compiled for.
        threads: how many work on one inference.

    Raises:
        InvalidRecordsError: see `RecordsFile.read`; not for a missing file where `tune` follows.
    """

    def __init__(self, place: str | os.PathLike[str] | None, target: Target, threads: int) -> None:
        self._file = RecordsFile(place, target)
        self._target = target
        self._conditions = conditions_of(target, threads)
        self._watching: list[MeasuredImplementations] = []

    @property
    def used(self) -> tuple[str, ...]:
        """The keys of the records that chose kernels since `read`, sorted."""
        return tuple(sorted({record.key for watching in self._watching for record in watching.used}))

    def read(self) -> Callable[[Implementations], Implementations]:
        """What `Family.phases` takes to choose by the records; those that are of no use here are named in a warning."""
        found = self._file.read(self._conditions)
        for line in found.ignored:
            warnings.warn(line, stacklevel=4)

        def watch(offered: Implementations) -> Implementations:
            self._watching.append(MeasuredImplementations(offered, found.records))
            return self._watching[-1]

        return watch

    def tune(self, module: tvm.IRModule, weight_bytes: int, progress: Callable[[str], None]) -> None:
        """Measure the layers of a model that have no record yet, and add them to the file.

        Args:
            weight_bytes: all weights of the model.

        Raises:
            WrongMachineError: this machine cannot run the target's code.
            OutputError: the file cannot be written.
        """
        progress("tune: what the layers are")
        known = {record.workload for record in self._file.read(self._conditions).records} if self._exists() else set()
        found = self._collect(module)
        unknown = {w: ways for w, ways in found.items() if w.key not in known and is_worth_measuring(w, ways)}
        if unknown:
            self._file.append(tune_quick(unknown, self._target, self._conditions, weight_bytes, progress))
        elif not self._exists():
            self._file.append(())  # a model without such layers has an empty file

    def _exists(self) -> bool:
        return self._file.path.exists()

    def _collect(self, module: tvm.IRModule) -> dict[Workload, Sequence[Implementation]]:
        """The layers that the planner of layouts asks for, with all their ways."""
        collected: list[CollectedWorkloads] = []

        def watch(offered: Implementations) -> Implementations:
            collected.append(CollectedWorkloads(offered))
            return collected[-1]

        family = family_of(self._target)
        phases = family.phases(self._target, watch)
        names = [phase.name for phase in phases]
        if LAYOUTS in names:
            lower(module, phases[: names.index(LAYOUTS) + 1], family.tvm_target(self._target))
        return {workload: ways for one in collected for workload, ways in one.found.items()}


def check_can_tune(target: Target) -> None:
    """Refuse to measure code for another machine.

    Raises:
        WrongMachineError: with what to do.
    """
    try:
        check_machine(target)
    except WrongMachineError as error:
        raise WrongMachineError(
            f"tuning needs a machine that runs the target's code: {error}; compile without tuning, or with records "
            "that were measured on such a machine"
        ) from error
