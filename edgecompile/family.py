"""`Family`: what a package of targets offers to the core, which names no chip."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from edgecompile.errors import CompilerBugError
from edgecompile.target import ENTRY_POINT_GROUP, Target


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


class Family(Protocol):
    """The module that an entry point of the group `edgecompile.targets` names; the point's name is `Target.family`."""

    TARGETS: Mapping[str, Callable[[], Target]]
    run_library: RunLibrary

    @staticmethod
    def find_toolchain(target: Target) -> Toolchain:
        """The compiler and linker for a target; ToolchainError, with how to install one, when there is none."""

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
