"""Tables of 256 bytes, read by whole vectors: `vpermi2b` chooses among 128 bytes in two registers.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecompile.target import CpuFacts

from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

_BYTES = 64  # of a register


def has_tables(facts: CpuFacts) -> bool:
    """True where the CPU has the instruction for registers of 512 bits."""
    return facts.vector_bytes == _BYTES and "avx512vbmi" in facts.features


def looked_up(levels: Expr, table: tirx.Buffer) -> Expr:
    """`table[levels + 128]` of 16, 32 or 64 int8; the table is `[256]` int8.

    The instruction takes no notice of a level's sign, so one half of the table is read for each sign.
    """
    from tvm import tirx

    count = int(levels.ty.dtype.lanes)
    whole = [tirx.const(at, "int32") for at in range(_BYTES)]
    filled = levels if count == _BYTES else tirx.Shuffle([levels] * (_BYTES // count), whole)
    parts = [loops.load(table, [loops.ramp(first, _BYTES)]) for first in range(0, 4 * _BYTES, _BYTES)]

    def half(low: Expr, high: Expr) -> Expr:
        return tirx.call_llvm_pure_intrin("int8x64", "llvm.x86.avx512.vpermi2var.qi.512", low, filled, high)

    is_negative = filled < tirx.Broadcast(tirx.const(0, "int8"), _BYTES)
    found = tirx.Select(is_negative, half(*parts[:2]), half(*parts[2:]))
    return found if count == _BYTES else tirx.Shuffle([found], whole[:count])
