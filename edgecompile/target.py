"""`Target`: the facts about a device that passes and schedules may ask for, and how targets are found by name."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib.metadata
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgecompile.errors import CompilerBugError, UnknownTargetError

ENTRY_POINT_GROUP = "edgecompile.targets"


@dataclass(frozen=True)
class CpuFacts:
    """What a CPU schedule needs to know; every number carries its unit in its name.

    Attributes:
        vector_bytes: width of one SIMD register.
        vector_registers: how many of them the ISA names.
        fma_ports: fused multiply-adds that can start in one cycle.
        l1d_bytes: first-level data cache of one core.
        l2_bytes: second-level cache of one core.
        num_cores: cores that a library may use by default.
        features: ISA features by their Linux `/proc/cpuinfo` names ("avx2", "asimddp"), sorted.
    """

    vector_bytes: int
    vector_registers: int
    fma_ports: int
    l1d_bytes: int
    l2_bytes: int
    num_cores: int
    features: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.vector_bytes in (16, 32, 64) and self.vector_registers in (16, 32)
        assert min(self.fma_ports, self.l1d_bytes, self.l2_bytes, self.num_cores) > 0
        assert self.l1d_bytes <= self.l2_bytes
        assert list(self.features) == sorted(set(self.features))

    @property
    def multiplies_by_lane(self) -> bool:
        """True when a fused multiply-add takes one factor from any lane of a register: AArch64's FMLA by element."""
        return "asimd" in self.features


@dataclass(frozen=True)
class Target:
    """A device by name: its code generator's options, its linker's triple, and its facts.

    Attributes:
        name: what the user types, such as "rpi4".
        family: the package under `targets` that emits for it, such as "arm_cpu".
        architecture: "x86_64", "aarch64" or "armv7l", as `platform.machine()` spells it.
        os: "linux", "android" or "ios".
        llvm_triple: passed to LLVM and to the cross compiler.
        llvm_cpu: LLVM's `-mcpu`.
        llvm_features: LLVM's `-mattr`, each entry with its sign ("+dotprod").
        cpu: facts for the schedules.
        emulator: the user-mode emulator and its arguments that run this target's programs elsewhere.
        description: one line for `edgecompile targets`.
    """

    name: str
    family: Literal["host_cpu", "arm_cpu"]
    architecture: Literal["x86_64", "aarch64", "armv7l"]
    os: Literal["linux", "android", "ios"]
    llvm_triple: str
    llvm_cpu: str
    llvm_features: tuple[str, ...]
    cpu: CpuFacts
    emulator: tuple[str, ...]
    description: str


def list_targets() -> list[Target]:
    """Every target that the installed target packages offer, sorted by name."""
    return [factory() for _, factory in sorted(_factories().items())]


def find_target(text: str) -> Target:
    """The target of a name with overrides: `rpi4`, `rpi4,num_cores=2`, `rpi4,llvm_cpu=generic,llvm_features=+crc`.

    A key is a fact of `CpuFacts`, or `os`, `llvm_triple`, `llvm_cpu`, `llvm_features`. A value replaces the target's
    own; lists are joined by colons: `features=asimd:asimddp`, `llvm_features=+dotprod:-sve`. The result's `name` is
    `text` without its blanks, so that it finds the same target again.

    Raises:
        UnknownTargetError: the name or a key does not exist, or a value does not fit it.
    """
    name, *overrides = (part.strip() for part in text.split(","))
    factories = _factories()
    if name not in factories:
        raise UnknownTargetError(
            f"no target is named {name!r}{_hint(name, factories)}; there are: {_listed(factories)}"
        )
    target = factories[name]()
    for override in overrides:
        target = _override(target, override)
    return dataclasses.replace(target, name=",".join((name, *overrides)))


@functools.cache
def _factories() -> Mapping[str, Callable[[], Target]]:
    factories: dict[str, Callable[[], Target]] = {}
    for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        for name, factory in point.load().TARGETS.items():
            if factories.setdefault(name, factory) is not factory:
                raise CompilerBugError(f"two target packages name a target {name!r}; one of them is {point.value}")
    return factories


_TARGET_KEYS = ("os", "llvm_triple", "llvm_cpu", "llvm_features")
_SYSTEMS = ("linux", "android", "ios")


def _override(target: Target, override: str) -> Target:
    key, equals, value = override.partition("=")
    facts = [field.name for field in dataclasses.fields(CpuFacts)]
    if key not in (*facts, *_TARGET_KEYS) or not equals:
        keys = (*facts, *_TARGET_KEYS)
        raise UnknownTargetError(
            f"an override of target {target.name!r} must be KEY=VALUE, found {override!r}{_hint(key, keys)}; "
            f"keys: {_listed(keys)}"
        )
    if key == "llvm_features":
        return dataclasses.replace(target, llvm_features=_list(key, value, r"[+-][A-Za-z0-9_.-]+"))
    if key == "os" and value not in _SYSTEMS:
        raise UnknownTargetError(f"os must be one of {_listed(_SYSTEMS)}, found {value!r}")
    if key in _TARGET_KEYS:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", value):
            raise UnknownTargetError(f"{key} must be a name that LLVM knows, found {value!r}")
        changed: dict[str, Any] = {key: value}
        return dataclasses.replace(target, **changed)
    fact: dict[str, Any]
    if key == "features":
        fact = {key: tuple(sorted(set(_list(key, value, r"[A-Za-z0-9_]+"))))}
    elif re.fullmatch(r"[1-9][0-9]{0,11}", value):
        fact = {key: int(value)}
    else:
        raise UnknownTargetError(f"{key} must be a whole number above 0, found {value!r}")
    try:
        cpu = dataclasses.replace(target.cpu, **fact)
    except AssertionError as error:
        raise UnknownTargetError(
            f"{key}={value} does not fit the other facts of {target.name!r}: {target.cpu}"
        ) from error
    return dataclasses.replace(target, cpu=cpu)


def _list(key: str, value: str, entry: str) -> tuple[str, ...]:
    """The entries of "a:b"; none for "". Each must match `entry`."""
    entries = tuple(value.split(":")) if value else ()
    for found in entries:
        if not re.fullmatch(entry, found):
            sign = ", each with + or -," if key == "llvm_features" else ""
            raise UnknownTargetError(f"{key} must be names{sign} joined by colons, found {value!r}")
    return entries


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
