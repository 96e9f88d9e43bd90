"""Exact sums of products of bytes on ARM CPUs.

`smmla` multiplies eight channels of two pixels by those of two output channels. `sdot` adds four products of bytes to
each 32-bit sum, one factor being any word of a register. Without both `smull` and `smlal` make sums of two products of
bytes in 16 bits, which `sadalp` adds to the 32-bit sums in pairs: exact where no weight is -128. `smlal` of words,
widened from bytes, takes any weight.

Source: Arm Architecture Reference Manual for A-profile, sections on SMMLA, SDOT, SMULL, SADALP and SMLAL (by element).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from edgecompile.target import CpuFacts

from schedules import wrapping
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from schedules.cpu.loops import Expr

_LANES = 4


def dot_products(facts: CpuFacts) -> list[DotProduct]:
    """What this CPU has, the fastest first; none where it is no ARM."""
    found = [matrix_products()] if "i8mm" in facts.features else []
    if "asimddp" in facts.features:
        found.append(byte_products())
    if "asimd" in facts.features:
        found.append(paired_products())
    return [*found, long_products()] if {"asimd", "neon"} & set(facts.features) else found


def matrix_products() -> DotProduct:
    """`smmla`, of Armv8.6 and of many cores before it: 2x8 bytes times 8x2 bytes, added to 2x2 sums."""
    from tvm import tirx

    def spread(words: Expr) -> Expr:
        return tirx.reinterpret("int8x16", words)

    def add(sums: Expr, x: Expr, weight: Expr) -> Expr:
        return tirx.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.smmla.v4i32.v16i8", sums, x, weight)

    return DotProduct("smmla", _LANES, 8, "int8", 0, 1, 2, lambda weight: weight, spread, add, pixels=2)


def byte_products() -> DotProduct:
    """`sdot`, of Armv8.2 and later."""
    from tvm import tirx

    def spread(word: Expr) -> Expr:
        return tirx.reinterpret("int8x16", tirx.Broadcast(word, _LANES))

    def add(sums: Expr, x: Expr, weight: Expr) -> Expr:
        return tirx.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.sdot.v4i32.v16i8", sums, weight, x)

    return DotProduct("sdot", _LANES, 4, "int8", 0, 1, 2, lambda weight: weight, spread, add)


def paired_products() -> DotProduct:
    """`smull`, `smlal2` and `sadalp`, of every AArch64 CPU: four lanes of a pair of channels, then of the next pair."""
    from tvm import tirx

    pairs = [*([0, 1] * _LANES), *([2, 3] * _LANES)]

    def shuffled(values: Expr, places: list[int]) -> Expr:
        return tirx.Shuffle([values], [tirx.const(place, "int32") for place in places])

    def spread(word: Expr) -> Expr:
        return shuffled(tirx.reinterpret("int8x16", tirx.Broadcast(word, _LANES)), pairs)

    def products(x: Expr, weight: Expr, first: int) -> Expr:
        low, high = (shuffled(values, list(range(first, first + 8))) for values in (x, weight))
        return tirx.call_llvm_pure_intrin("int16x8", "llvm.aarch64.neon.smull.v8i16", low, high)

    def add(sums: Expr, x: Expr, weight: Expr) -> Expr:
        total = products(x, weight, 0) + products(x, weight, 8)
        return sums + tirx.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.saddlp.v4i32.v8i16", total)

    return DotProduct(
        "smull",
        _LANES,
        group=4,
        factor="int8",
        offset=0,
        instructions=3,
        operands=8,  # LLVM starts the products of several steps before it adds them; with 5 it spills
        weight=lambda weight: weight,
        spread=spread,
        add=add,
        place=_by_pairs,
        lowest_weight=-127,
        spread_instructions=2,
        multiplies=2,  # sadalp runs beside them
    )


def _by_pairs(lane: Expr, element: Expr, group: int) -> Expr:
    return element // 2 * (2 * _LANES) + lane * 2 + element % 2


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


def wrapping_products(facts: CpuFacts) -> list[DotProduct]:
    """`smlal` whose sums are modulo 2^32; none where the CPU has no NEON.

    For Winograd's transforms, whose results need words. What they are worth, in multiply-adds of the convolution per
    instruction, before the transforms themselves:

        F(4, 3) by smlal     4 products of words,  9 * 16 / 36 = 4 times fewer are needed        16
        F(2, 3) by smlal     4 products of words,  9 * 4 / 16 = 2.25 times fewer                  9
        F(2, 3) along rows   4 products of words,  3 * 2 / 4 = 1.5 times fewer                    6
        smull, sadalp        3 instructions for 16 products of bytes                           5.33
        sdot                16 products of bytes                                                 16
        smmla               32 products of bytes                                                 32

    By sdot each transformed pixel of F(2, 3) would be two bytes (10 bits; 9 along rows only), and each whole weight
    too, up to nine times a byte's range (three times along rows): four products for one, worth 16 * 2.25 / 4 = 9, or 6.
    So none of these executes fewer instructions than sdot, whose 16 need no transforms: direct sums are the choice
    where it is, and transforms pay where smull is the best there is.

    Cores with `sdot` multiply words in one of their two pipes only: Cortex-A76 Software Optimization Guide, section 3.
    """

    def add(sums: Expr, x: Expr, weight: Expr) -> Expr:
        return wrapping.add(sums, x * weight)

    has_words = {"asimd", "neon"} & set(facts.features)
    multiplies = 2 if "asimddp" in facts.features else 1
    return [dataclasses.replace(long_products(), add=add, multiplies=multiplies)] if has_words else []
