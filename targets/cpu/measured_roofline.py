"""The peak and the bandwidth of this machine's cores, measured once and kept in the cache."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edgecompile.artifact.machine import host_identity
from edgecompile.artifact.write import write_file
from edgecompile.errors import RuntimeFailureError
from edgecompile.roofline import ReadRate, Roofline
from edgecompile.settings import cache_directory
from edgecompile.target import CpuFacts, Target
from targets.cpu.emulator import run_program
from targets.cpu.runtime_objects import RUNTIME_FOLDER, cached_program
from targets.cpu.toolchain import find_toolchain

_SOURCE = RUNTIME_FOLDER / "roofline" / "roofline.c"
_SECONDS = 120  # far above the second that it takes, for machines that do other work too
_X86_FEATURES = ("avx", "avx2", "avx512f", "fma")  # of which the compiler must know to use a register's whole width


def measure_roofline(target: Target, threads: int, *, again: bool = False) -> Roofline:
    """The best that `threads` cores of this machine do together.

    The peak of int8 is the one of fp32 times what the best exact instruction multiplies in the place of one fp32
    multiply-add: both keep all of the CPU's `fma_ports` busy.

    Args:
        target: this machine; its vectors are what the measurement uses.
        again: measure anew even if the cache knows this kind of CPU.

    Raises:
        ToolchainError: no compiler, or it failed.
        RuntimeFailureError: the measurement failed.
        OutputError: the cache cannot be written.
    """
    place = _place(target, threads)
    known = None if again else _read(place)
    if known is not None:
        return known
    program = cached_program(find_toolchain(target), _SOURCE, flags=_flags(target), libraries=("-pthread",))
    result = run_program(target, [str(program), str(threads)], timeout_s=_SECONDS)
    if result.returncode != 0:
        said = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeFailureError(f"measuring this machine's peak with {threads} threads failed: {said}")
    measured = _with_integers(_decode(result.stdout, threads), target.cpu)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_file(place, TypeAdapter(Roofline).dump_json(measured))
    return measured


def _with_integers(measured: Roofline, facts: CpuFacts) -> Roofline:
    """What the cache keeps: the kernels' instructions are asked once, which loads TVM."""
    from schedules.cpu.integers.ways import dot_products

    most = max((dot.macs_per_multiply for dot in dot_products(facts)), default=0.0)
    fp32 = facts.vector_bytes / 4
    return dataclasses.replace(measured, int8_ops_per_s=measured.flops_per_s * most / fp32 if most else None)


def _flags(target: Target) -> tuple[str, ...]:
    features = (
        [name for name in _X86_FEATURES if name in target.cpu.features] if target.architecture == "x86_64" else []
    )
    return ("-ffp-contract=fast", f"-DVECTOR_BYTES={target.cpu.vector_bytes}", *(f"-m{name}" for name in features))


def _place(target: Target, threads: int) -> Path:
    """Where the cache keeps the measurement of this CPU, by what could change it."""
    identity = host_identity() or target.description
    parts = (
        identity,
        *_flags(target),
        str(target.cpu.num_cores),
        target.cpu.features,
        str(threads),
        _SOURCE.read_text(),
    )
    return cache_directory() / "roofline" / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.json"


def _read(place: Path) -> Roofline | None:
    """A measurement from the cache; None when there is none, or it is damaged."""
    try:
        return TypeAdapter(Roofline).validate_json(place.read_bytes())
    except (OSError, ValidationError):
        return None


def _decode(text: str, threads: int) -> Roofline:
    document = json.loads(text)
    reads = tuple(ReadRate(**read) for read in document["reads"])
    return Roofline(threads=threads, flops_per_s=document["flops_per_s"], reads=reads)
