"""Exact sums of products of bytes on ARM CPUs.

`sdot` adds four products of bytes to each 32-bit sum, one factor being any word of a register. Without it `smlal`
multiplies words of 16 bits, widened from bytes, one factor being any of a register's again.

Source: Arm Architecture Reference Manual for A-profile, sections on SDOT and SMLAL (by element).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecompile.target import CpuFacts

from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from schedules.cpu.loops import Expr

_LANES = 4


def dot_products(facts: CpuFacts) -> list[DotProduct]:
    """What this CPU has, the fastest first; none where it is no ARM."""
    found = [byte_products()] if "asimddp" in facts.features else []
    return [*found, long_products()] if {"asimd", "neon"} & set(facts.features) else found


def byte_products() -> DotProduct:
    """`sdot`, of Armv8.2 and later."""
    from tvm import tirx

    def spread(word: Expr) -> Expr:
        return tirx.reinterpret("int8x16", tirx.Broadcast(word, _LANES))

    def add(sums: Expr, x: Expr, weight: Expr) -> Expr:
        return tirx.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.sdot.v4i32.v16i8", sums, weight, x)

    return DotProduct("sdot", _LANES, 4, "int8", 0, 1, 2, lambda weight: weight, spread, add)


def long_products() -> DotProduct:
    """`smlal`, of every CPU with NEON; LLVM makes it of a product of widened words."""
    from tvm import tirx

    def widen(weight: Expr) -> Expr:
        return tirx.Cast("int32x4", tirx.Cast("int16x4", weight))

    def spread(word: Expr) -> Expr:
        return tirx.Cast("int32x4", tirx.Broadcast(word, _LANES))

    def add(sums: Expr, x: Expr, weight: Expr) -> Expr:
        return sums + x * weight

    return DotProduct("smlal", _LANES, 1, "int16", 0, 1, 2, widen, spread, add)
