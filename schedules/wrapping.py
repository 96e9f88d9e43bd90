"""Arithmetic modulo 2^32 on vectors of int32.

TVM 0.27 tells LLVM that sums and products of 32 bits do not overflow (`nsw`, and `nuw` for unsigned ones), so that a
program whose sums wrap around has no meaning. LLVM's vector-predicated operations promise nothing; with all lanes on
they become the plain instructions.

Source: LLVM Language Reference Manual, "Vector Predication Intrinsics".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schedules.cpu.loops import Expr


def add(a: Expr, b: Expr) -> Expr:
    """`a + b` of vectors."""
    return _call("llvm.vp.add", a, b)


def subtract(a: Expr, b: Expr) -> Expr:
    """`a - b` of vectors."""
    return _call("llvm.vp.sub", a, b)


def multiply(a: Expr, factor: int) -> Expr:
    """`a * factor` of a vector and a number."""
    from tvm import tirx

    signed = (factor + 2**31) % 2**32 - 2**31
    return _call("llvm.vp.mul", a, tirx.Broadcast(tirx.const(signed, "int32"), a.ty.dtype.lanes))


def _call(name: str, a: Expr, b: Expr) -> Expr:
    from tvm import tirx

    lanes = a.ty.dtype.lanes
    mask = tirx.Broadcast(tirx.const(True, "bool"), lanes)
    return tirx.call_llvm_pure_intrin(f"int32x{lanes}", name, a, b, mask, tirx.const(lanes, "uint32"))
