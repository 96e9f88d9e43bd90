"""`Target`: the facts about a device that passes and schedules may ask for, and how targets are found by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
