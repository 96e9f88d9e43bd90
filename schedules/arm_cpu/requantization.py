"""The steps of a requantization on AArch64, one instruction for each vector of four sums.

    multiply_high    sqdmulh: twice the product's upper half, of the multiplier moved up by 15 bits
    round_shift      srshl, by a negative number of places
    narrow           sqxtn to 16 bits, sqadd of the zero point, sqxtn to 8 bits, each of which saturates

Source: Arm Architecture Reference Manual for A-profile, sections on SQDMULH, SRSHL, SQXTN and SQADD.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgecompile.integer.intrinsics import (
    MULTIPLY_HIGH,
    NARROW,
    ROUND_SHIFT,
    RULES,
    lanes_of,
    narrow_numbers,
)

if TYPE_CHECKING:
    from tvm import ir, tirx

_LANES = 4  # of 32 bits
_NEON = "llvm.aarch64.neon"


@functools.cache
def use_neon_for_requantization() -> None:
    """Tell `LowerIntrin` the rules, which it takes for AArch64 targets only; odd vectors keep the plain formulas."""
    from tvm import tirx

    def rule(name: str, least: int, spell: Callable[[ir.Call], ir.Expr]) -> None:
        def lower(call: ir.Call) -> ir.Expr:
            return RULES[name](call) if lanes_of(call.args[0]) % least else spell(call)

        tirx.register_intrin_lowering(name, target="llvm.aarch64", f=lower)

    rule(MULTIPLY_HIGH, _LANES, _multiply_high)
    rule(ROUND_SHIFT, _LANES, _round_shift)
    rule(NARROW, 2 * _LANES, _narrow)


def _multiply_high(call: ir.Call) -> ir.Expr:
    from tvm import tirx

    value, multiplier = call.args
    places = _constant(15, "int32", lanes_of(value))
    return _by_fours("sqdmulh", value, tirx.shift_left(multiplier, places))


def _round_shift(call: ir.Call) -> ir.Expr:
    """Shifts left by `~places`, which is -(places + 1)."""
    from tvm import tirx

    value, places = call.args
    wide = tirx.Cast(f"int32x{lanes_of(value)}", places)
    return _by_fours("srshl", value, tirx.bitwise_not(wide))


def _narrow(call: ir.Call) -> ir.Expr:
    from tvm import tirx

    value, (zero_point, low, high) = call.args[0], narrow_numbers(call)
    lanes = lanes_of(value)
    words = [tirx.call_llvm_pure_intrin("int16x4", f"{_NEON}.sqxtn.v4i16", part) for part in _split(value, _LANES)]
    eights = [_joined(words[at : at + 2]) for at in range(0, len(words), 2)]
    if zero_point:
        offset = _constant(zero_point, "int16", 8)
        eights = [tirx.call_llvm_pure_intrin("int16x8", "llvm.sadd.sat.v8i16", part, offset) for part in eights]
    result = _joined([tirx.call_llvm_pure_intrin("int8x8", f"{_NEON}.sqxtn.v8i8", part) for part in eights])
    if high < 127:
        result = tirx.min(result, _constant(high, "int8", lanes))
    return tirx.max(result, _constant(low, "int8", lanes)) if low > -128 else result


def _by_fours(name: str, *operands: ir.Expr) -> ir.Expr:
    """An instruction of two vectors of four 32-bit lanes, on as many as there are."""
    from tvm import tirx

    fours = zip(*(_split(operand, _LANES) for operand in operands), strict=True)
    return _joined([tirx.call_llvm_pure_intrin("int32x4", f"{_NEON}.{name}.v4i32", *parts) for parts in fours])


def _split(value: ir.Expr, lanes: int) -> Sequence[ir.Expr]:
    """A vector in parts of `lanes`: those that it was joined of, or else the whole written down once for each."""
    from tvm import tirx

    whole = lanes_of(value)
    if whole == lanes:
        return [value]
    if isinstance(value, tirx.Shuffle) and _is_joined(value, lanes):
        return list(value.vectors)
    return [
        tirx.Shuffle([value], [tirx.const(at, "int32") for at in range(first, first + lanes)])
        for first in range(0, whole, lanes)
    ]


def _is_joined(value: tirx.Shuffle, lanes: int) -> bool:
    has_parts = all(lanes_of(part) == lanes for part in value.vectors)
    return has_parts and [int(at) for at in value.indices] == list(range(lanes * len(value.vectors)))


def _joined(parts: Sequence[ir.Expr]) -> ir.Expr:
    from tvm import tirx

    if len(parts) == 1:
        return parts[0]
    lanes = sum(lanes_of(part) for part in parts)
    return tirx.Shuffle(list(parts), [tirx.const(at, "int32") for at in range(lanes)])


def _constant(number: int, dtype: str, lanes: int) -> ir.Expr:
    from tvm import tirx

    return tirx.Broadcast(tirx.const(number, dtype), lanes)
