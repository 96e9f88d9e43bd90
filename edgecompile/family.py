"""`Family`: what a package of targets offers to the core, which names no chip."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgecompile.errors import CompilerBugError
from edgecompile.roofline import Roofline
from edgecompile.target import ENTRY_POINT_GROUP, Target

if TYPE_CHECKING:
    import tvm

    from edgecompile.implementation import Implementations, Preference
    from edgecompile.passes import Phase
    from edgecompile.plan import ExecutionPlan
    from edgecompile.schedule import ScheduleRule

    Watch = Callable[[Implementations], Implementations]


class Probe(Protocol):
    """One thing that `doctor` looks for."""

    @property
    def name(self) -> str: ...
    @property
    def found(self) -> bool: ...
    @property
    def version(self) -> str: ...
    @property
    def how_to_install(self) -> str: ...


class Toolchain(Protocol):
    """A compiler and linker that was found."""

    @property
    def command(self) -> Sequence[str]: ...
    @property
    def version(self) -> str: ...


class RunnerResult(Protocol):
    """Raw outputs of all samples, one after another, and times of one inference in nanoseconds."""

    @property
    def outputs(self) -> bytes: ...
    @property
    def runs(self) -> int: ...
    @property
    def median_ns(self) -> int: ...
    @property
    def min_ns(self) -> int: ...
    @property
    def p99_ns(self) -> int: ...


class RunLibrary(Protocol):
    """Runs `lib<name>.so` on raw samples under the target's emulator."""

    def __call__(
        self,
        target: Target,
        library: Path,
        name: str,
        samples: bytes,
        *,
        weights: Path | None,
        threads: int,
        repeat: int,
        warmup: int,
        timeout_s: float,
    ) -> RunnerResult: ...


@dataclass(frozen=True)
class EmittedFiles:
    """What a family wrote for one model, as names inside the artifact's folder.

    Attributes:
        library: the shared library.
        static_library: None where there is none.
        headers: for apps that link the library.
        weights: the constants' file; None where the library holds them.
    """

    library: str
    static_library: str | None
    headers: tuple[str, ...]
    weights: str | None


class LoweredKernel(Protocol):
    """A kernel ready for the family's code generator."""

    @property
    def scratch_bytes(self) -> int: ...


class Family(Protocol):
    """The module that an entry point of the group `edgecompile.targets` names; the point's name is `Target.family`."""

    TARGETS: Mapping[str, Callable[[], Target]]
    run_library: RunLibrary

    @staticmethod
    def tvm_target(target: Target) -> tvm.target.Target:
        """The target in TVM's terms."""

    @staticmethod
    def phases(target: Target, watch: Watch | None = None, prefer: Preference = "speed") -> Sequence[Phase]:
        """The passes from a model to kernels.

        Args:
            watch: takes the ways to compute a layer, variants of the templates' numbers among them, and gives back what
                the passes shall ask instead.
            prefer: "size" leaves out ways that make the weights larger.
        """

    @staticmethod
    def rules(target: Target) -> Sequence[ScheduleRule]:
        """The kernel templates; the last takes any kernel."""

    @staticmethod
    def lower_kernels(
        kernels: Mapping[str, tvm.tirx.PrimFunc], target: tvm.target.Target
    ) -> Mapping[str, LoweredKernel]:
        """Scheduled kernels to what the code generator takes; says how much scratch memory each needs."""

    @staticmethod
    def emit(
        plan: ExecutionPlan, kernels: Mapping[str, LoweredKernel], target: Target, folder: Path, *, embed_weights: bool
    ) -> EmittedFiles:
        """Write the library of a static plan."""

    @staticmethod
    def emit_virtual_machine(module: tvm.IRModule, name: str, target: Target, folder: Path) -> EmittedFiles:
        """Write the library of a model that needs Relax's virtual machine."""

    @staticmethod
    def find_toolchain(target: Target) -> Toolchain:
        """The compiler and linker for a target; ToolchainError, with how to install one, when there is none."""

    @staticmethod
    def measure_roofline(target: Target, threads: int, *, again: bool) -> Roofline:
        """The best of this machine's cores, from the cache unless `again`; `target` is this machine."""

    @staticmethod
    def probe_toolchains() -> Sequence[Probe]:
        """What is here and what is missing; never raises."""


@functools.cache
def families() -> Mapping[str, Family]:
    """The installed families by name."""
    points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    return {point.name: point.load() for point in sorted(points, key=lambda point: point.name)}


def family_of(target: Target) -> Family:
    """The family that made `target`.

    Raises:
        CompilerBugError: it is not installed, though the core that knows its name is.
    """
    if target.family not in families():
        raise CompilerBugError(f"target {target.name} needs the family {target.family!r}: install edgecompile again")
    return families()[target.family]
