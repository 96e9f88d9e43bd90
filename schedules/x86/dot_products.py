"""Exact sums of products of bytes on x86.

`vpdpbusd` multiplies bytes without a sign by bytes with one: x gets its sign bit flipped, which adds 128, and what that
adds to a sum is known from the weights. `vpmaddwd` multiplies words, so x and the weights are widened. `vpmaddubsw`
multiplies bytes too, but its 16-bit sums of two products saturate: it is exact for weights from -64 to 64 only.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from edgecompile.target import CpuFacts

from schedules import wrapping
from schedules.dot_product import DotProduct
from schedules.x86.words import has_words

if TYPE_CHECKING:
    from schedules.cpu.loops import Expr
    from schedules.dot_product import Operand

_SHORT_BYTE_PRODUCTS = {
    4: "llvm.x86.ssse3.pmadd.ub.sw.128",
    8: "llvm.x86.avx2.pmadd.ub.sw",
    16: "llvm.x86.avx512.pmaddubs.w.512",
}
_LOWEST_SHORT_WEIGHT = -64  # 255 * 64 + 255 * 64 = 32640, which is less than 2^15
_WORD_PRODUCTS = {4: "llvm.x86.sse2.pmadd.wd", 8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}


def dot_products(facts: CpuFacts) -> list[DotProduct]:
    """What this CPU has, the fastest first; none where it is no x86."""
    lanes = facts.vector_bytes // 4
    found = [byte_products(lanes)] if _has_dot_products(facts) else []
    if has_words(facts, lanes):
        found.append(short_byte_products(lanes))
    return [*found, word_products(lanes)] if "sse4_1" in facts.features else found


def _has_dot_products(facts: CpuFacts) -> bool:
    """AVX-512 VNNI or AVX-VNNI, for the CPU's vectors."""
    if facts.vector_bytes == 64:
        return "avx512_vnni" in facts.features
    return "avx_vnni" in facts.features or {"avx512_vnni", "avx512vl"} <= set(facts.features)


def byte_products(lanes: int) -> DotProduct:
    """`vpdpbusd`, of AVX-512 VNNI and of AVX-VNNI."""
    from tvm import tirx

    def add(sums: Expr, x: Expr, weight: Expr) -> Expr:
        return tirx.call_llvm_pure_intrin(f"int32x{lanes}", f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", sums, x, weight)

    return DotProduct("vpdpbusd", lanes, 4, "int8", 128, 1, 3, lambda weight: weight, _flipped_spread(lanes), add)


def short_byte_products(lanes: int) -> DotProduct:
    """`vpmaddubsw`, and `vpmaddwd` with ones, which adds its pairs of words."""
    from tvm import tirx

    words = f"int16x{2 * lanes}"

    def add(sums: Expr, x: Expr, weight: Expr) -> Expr:
        pairs = tirx.call_llvm_pure_intrin(words, _SHORT_BYTE_PRODUCTS[lanes], x, weight)
        ones = tirx.Broadcast(tirx.const(1, "int16"), 2 * lanes)
        return sums + tirx.call_llvm_pure_intrin(f"int32x{lanes}", _WORD_PRODUCTS[lanes], pairs, ones)

    return DotProduct(
        "vpmaddubsw",
        lanes,
        4,
        "int8",
        128,
        3,
        4,
        lambda weight: weight,
        _flipped_spread(lanes),
        add,
        lowest_weight=_LOWEST_SHORT_WEIGHT,
        multiplies=2,
    )


def _flipped_spread(lanes: int) -> Operand:
    """Four bytes of x, with flipped signs, in every lane."""
    from tvm import tirx

    of_bytes, of_words, of_floats = f"int8x{4 * lanes}", f"int32x{lanes}", f"float32x{lanes}"

    def fenced(value: Expr) -> Expr:
        """The same, but LLVM may not look through it; it is no instruction.

        Without the outer fence LLVM 22 takes spread words apart into 64 bytes, whose code generation does not end.
        Without the inner one it flips the bits before it spreads the word, and cannot load and spread at once.
        """
        return tirx.call_llvm_pure_intrin(of_floats, "llvm.arithmetic.fence", tirx.reinterpret(of_floats, value))

    def spread(word: Expr) -> Expr:
        signs = tirx.reinterpret(
            of_words, fenced(tirx.Broadcast(tirx.const(-0x7F7F7F80, "int32"), lanes))
        )  # 0x80808080
        return tirx.reinterpret(of_bytes, fenced(tirx.Broadcast(word, lanes) ^ signs))

    return spread


def word_products(lanes: int) -> DotProduct:
    """`vpmaddwd`, the sum of two products of words, which no words but two pairs of -32768 overflow."""
    from tvm import tirx

    def widen(weight: Expr) -> Expr:
        return tirx.Cast(f"int16x{2 * lanes}", weight)

    def spread(word: Expr) -> Expr:
        return tirx.reinterpret(f"int16x{2 * lanes}", tirx.Broadcast(word, lanes))

    def add(sums: Expr, x: Expr, weight: Expr) -> Expr:
        return sums + tirx.call_llvm_pure_intrin(f"int32x{lanes}", _WORD_PRODUCTS[lanes], x, weight)

    return DotProduct("vpmaddwd", lanes, 2, "int16", 0, 2, 2, widen, spread, add)


def wrapping_products(facts: CpuFacts) -> list[DotProduct]:
    """What multiplies words and adds them modulo 2^32, the fastest first; none where the CPU is no x86."""
    from tvm import tirx

    lanes = facts.vector_bytes // 4
    plain = word_products(lanes)

    def add(sums: Expr, x: Expr, weight: Expr) -> Expr:
        products = tirx.call_llvm_pure_intrin(f"int32x{lanes}", _WORD_PRODUCTS[lanes], x, weight)
        return wrapping.add(sums, products)

    def add_at_once(sums: Expr, x: Expr, weight: Expr) -> Expr:
        name = f"llvm.x86.avx512.vpdpwssd.{32 * lanes}"
        return tirx.call_llvm_pure_intrin(f"int32x{lanes}", name, sums, x, weight)

    found = []
    if _has_dot_products(facts):
        found.append(dataclasses.replace(plain, name="vpdpwssd", instructions=1, operands=1, add=add_at_once))
    return [*found, dataclasses.replace(plain, add=add)] if "sse4_1" in facts.features else found


def flip_signs(values: Expr) -> Expr:
    """`int8x64` whose sign bits are flipped, which adds 128: what `vpdpbusd` takes as x."""
    from tvm import tirx

    return values ^ tirx.Broadcast(tirx.const(-128, "int8"), 64)
