"""`host`: the machine at hand, described by the features that it reports.

The name of the CPU decides nothing: virtual machines hide features that the name promises. The highest x86-64 level
whose features are all there is the base, and what a machine has beyond it is added one by one.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecompile.errors import UnknownTargetError
from edgecompile.target import CpuFacts, Target
from targets.arm_cpu.boards import KIB, armv7_neon

Architecture = Literal["x86_64", "aarch64", "armv7l"]

# x86-64 psABI, table 3.1, each level without those below it: /proc/cpuinfo's name -> LLVM's.
_LEVELS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (
        "x86-64-v2",
        {
            "cx16": "cx16",
            "lahf_lm": "sahf",
            "pni": "sse3",
            "popcnt": "popcnt",
            "sse4_1": "sse4.1",
            "sse4_2": "sse4.2",
            "ssse3": "ssse3",
        },
    ),
    (
        "x86-64-v3",
        {
            "abm": "lzcnt",
            "avx": "avx",
            "avx2": "avx2",
            "bmi1": "bmi",
            "bmi2": "bmi2",
            "f16c": "f16c",
            "fma": "fma",
            "movbe": "movbe",
        },
    ),
    (
        "x86-64-v4",
        {
            "avx512bw": "avx512bw",
            "avx512cd": "avx512cd",
            "avx512dq": "avx512dq",
            "avx512f": "avx512f",
            "avx512vl": "avx512vl",
        },
    ),
)
# Beyond the levels: what kernels of ours can use. AMX is left out, since a process must ask the kernel for it first.
_X86_EXTRAS = {
    "avx512_bf16": "avx512bf16",
    "avx512_vnni": "avx512vnni",
    "avx512vbmi": "avx512vbmi",
    "avx_vnni": "avxvnni",
}
_AVX512 = frozenset(_LEVELS[2][1])

_AARCH64_EXTRAS = {"asimddp": ("+dotprod",), "asimdhp": ("+fullfp16",), "bf16": ("+bf16",), "i8mm": ("+i8mm",)}

_SMALLEST_L1D, _SMALLEST_L2 = (
    32 * KIB,
    256 * KIB,
)  # of x86-64-v2 cores and boards; used where the kernel names no caches


@dataclass(frozen=True)
class Machine:
    """What the operating system says about the CPU.

    Attributes:
        architecture: `platform.machine()`.
        vendor: x86 `vendor_id`; "" elsewhere.
        family: x86 `cpu family`; 0 elsewhere.
        features: `flags` (x86) or `Features` (ARM) of the first core.
        l1d_bytes: None where the kernel does not say.
        l2_bytes: None where the kernel does not say.
        num_cores: logical CPUs.
    """

    architecture: str
    vendor: str
    family: int
    features: frozenset[str]
    l1d_bytes: int | None
    l2_bytes: int | None
    num_cores: int


def read_machine(cpuinfo: Path = Path("/proc/cpuinfo"), caches: Path | None = None) -> Machine:
    """The machine at hand; both paths are arguments so that other machines' files can be read."""
    text = cpuinfo.read_text(errors="replace") if cpuinfo.exists() else ""
    caches = caches or Path("/sys/devices/system/cpu/cpu0/cache")
    family = _field(text, "cpu family")
    return Machine(
        architecture=platform.machine(),
        vendor=_field(text, "vendor_id"),
        family=int(family) if family.isdigit() else 0,
        features=frozenset((_field(text, "flags") or _field(text, "Features")).split()),
        l1d_bytes=_cache_bytes(caches, 1),
        l2_bytes=_cache_bytes(caches, 2),
        num_cores=os.cpu_count() or 1,
    )


def _field(cpuinfo: str, name: str) -> str:
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return match.group(1).strip() if match else ""


def _cache_bytes(caches: Path, level: int) -> int | None:
    """The size of the data or unified cache of a level; Linux writes it as "32K"."""
    for index in sorted(caches.glob("index[0-9]*")):
        try:
            found, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        match = re.fullmatch(r"([0-9]+)([KM])", size)
        if found == str(level) and kind in ("Data", "Unified") and match:
            return int(match.group(1)) * (KIB if match.group(2) == "K" else KIB * KIB)
    return None


def host() -> Target:
    """The machine at hand.

    Raises:
        UnknownTargetError: its architecture is not one that this version compiles for.
    """
    return describe(read_machine())


def describe(machine: Machine) -> Target:
    """The target of a machine: a pure function of what was read from it."""
    if machine.architecture == "x86_64":
        return _x86(machine)
    if machine.architecture == "aarch64":
        return _aarch64(machine)
    board = armv7_neon()
    if machine.architecture == "armv7l" and set(board.cpu.features) <= machine.features:
        return _target(machine, "armv7l", board.llvm_triple, board.llvm_cpu, board.llvm_features, board.cpu.features)
    raise UnknownTargetError(
        f"target 'host' needs an x86-64, AArch64 or ARMv7 NEON machine, found {machine.architecture}: name another one"
    )


def _x86(machine: Machine) -> Target:
    llvm_cpu, used = "x86-64", set[str]()
    remaining = list(_LEVELS)
    while remaining and remaining[0][1].keys() <= machine.features:
        llvm_cpu, names = remaining.pop(0)
        used |= names.keys()
    beyond = {name: spelling for _, names in remaining for name, spelling in names.items()} | _X86_EXTRAS
    if not used >= _AVX512:  # an incomplete AVX-512 is not worth its 32 registers of special cases
        beyond = {name: spelling for name, spelling in beyond.items() if not name.startswith("avx512")}
    extras = sorted(name for name in beyond if name in machine.features)
    llvm_features = [f"+{beyond[name]}" for name in extras]
    if used >= _AVX512:
        llvm_features.append("-prefer-256-bit")  # v4's tuning avoids the registers that the schedules count on
    features = tuple(sorted(used | set(extras)))
    return _target(machine, "x86_64", "x86_64-linux-gnu", llvm_cpu, tuple(llvm_features), features)


def _aarch64(machine: Machine) -> Target:
    extras = [name for name in sorted(_AARCH64_EXTRAS) if name in machine.features]
    llvm_features = tuple(spelling for name in extras for spelling in _AARCH64_EXTRAS[name])
    scalar_half = ["fphp"] if "asimdhp" in extras else []  # +fullfp16 means both
    features = tuple(sorted(["asimd", *extras, *scalar_half]))
    return _target(machine, "aarch64", "aarch64-linux-gnu", "generic", llvm_features, features)


def _target(
    machine: Machine,
    architecture: Architecture,
    triple: str,
    llvm_cpu: str,
    llvm_features: tuple[str, ...],
    features: tuple[str, ...],
) -> Target:
    l1d_bytes = machine.l1d_bytes or _SMALLEST_L1D
    facts = CpuFacts(
        vector_bytes=_vector_bytes(features),
        vector_registers=16 if machine.architecture == "armv7l" or _is_narrow_x86(machine, features) else 32,
        fma_ports=_fma_ports(machine, features),
        l1d_bytes=l1d_bytes,
        l2_bytes=max(machine.l2_bytes or _SMALLEST_L2, l1d_bytes),
        num_cores=machine.num_cores,
        features=features,
    )
    return Target(
        name="host",
        family="host_cpu",
        architecture=architecture,
        os="linux",
        llvm_triple=triple,
        llvm_cpu=llvm_cpu,
        llvm_features=llvm_features,
        cpu=facts,
        emulator=(),
        description=f"this machine: {architecture}, {8 * facts.vector_bytes}-bit vectors, {machine.num_cores} cores",
    )


def _is_narrow_x86(machine: Machine, features: tuple[str, ...]) -> bool:
    return machine.architecture == "x86_64" and "avx512vl" not in features


def _vector_bytes(features: tuple[str, ...]) -> int:
    if "avx512vl" in features:
        return 64
    return 32 if "avx2" in features else 16


def _fma_ports(machine: Machine, features: tuple[str, ...]) -> int:
    """Full-width fused multiply-adds that start per cycle.

    AMD's Zen 4 (family 25) runs a 512-bit operation as two halves; Zen 5 (family 26) and Intel's servers have two
    units. Cores without vector FMA, and ARM ones of unknown kind, count as one: fewer accumulators are then needed.
    """
    if machine.architecture != "x86_64" or "fma" not in features:
        return 1
    return 1 if "avx512vl" in features and machine.vendor == "AuthenticAMD" and machine.family < 26 else 2


TARGETS: Mapping[str, Callable[[], Target]] = {"host": host}
