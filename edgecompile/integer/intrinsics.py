"""The steps of a requantization as intrinsics of TIR, which targets may spell with instructions of their own.

    multiply_high(sum, multiplier)         floor(sum * multiplier / 2^16)
    round_shift(value, places)             floor((value + 2^places) / 2^(places + 1))
    narrow(value, zero_point, low, high)   clip(value + zero_point, low, high)

They stay calls while loops are vectorized, and `LowerIntrin` turns each, a vector of any length, into what its target
registered, or else into the formulas here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tvm import ir

    Rule: TypeAlias = Callable[[ir.Call], ir.Expr]

MULTIPLY_HIGH = "tirx.edgecompile_multiply_high"
ROUND_SHIFT = "tirx.edgecompile_round_shift"
NARROW = "tirx.edgecompile_narrow"
_HALF_BITS = 16
_PURE = 1  # of TVM's `CallEffectKind`: it reads and writes nothing


def multiply_high(value: ir.Expr, multiplier: ir.Expr) -> ir.Expr:
    """`floor(value * multiplier / 2^16)` of int32 expressions; the multiplier is from 0 to 2^15 - 1."""
    return _call("int32", MULTIPLY_HIGH, value, multiplier)


def round_shift(value: ir.Expr, places: ir.Expr) -> ir.Expr:
    """`floor((value + 2^places) / 2^(places + 1))` of an int32 expression, which nothing overflows.

    Args:
        places: uint8, from 0 to 30.
    """
    return _call("int32", ROUND_SHIFT, value, places)


def narrow(value: ir.Expr, zero_point: int, low: int, high: int) -> ir.Expr:
    """`clip(value + zero_point, low, high)` of an int32 expression as int8; all three numbers are of int8."""
    from tvm import tirx

    assert all(-128 <= number <= 127 for number in (zero_point, low, high))
    return _call("int8", NARROW, value, *(tirx.const(number, "int32") for number in (zero_point, low, high)))


def lower_narrow(value: ir.Expr, zero_point: int, low: int, high: int, dtype: str) -> ir.Expr:
    """The formula of `narrow`, for results of any integer type, of scalars or vectors.

    The bounds are moved instead of the value, whose sum might leave 32 bits.
    """
    from tvm import tirx

    def n(number: int) -> ir.Expr:
        return _like(value, number)

    bounded = tirx.max(tirx.min(value, n(high - zero_point)), n(low - zero_point))
    return tirx.Cast(_with_lanes(dtype, value), bounded + n(zero_point))


def narrow_numbers(call: ir.Call) -> tuple[int, int, int]:
    """Zero point, low and high of a call of `narrow`, whose arguments vectorization may have spread."""
    from tvm import tirx

    zero_point, low, high = (
        int(number.value if isinstance(number, tirx.Broadcast) else number) for number in call.args[1:]
    )
    return zero_point, low, high


def _lower_multiply_high(call: ir.Call) -> ir.Expr:
    """By halves, so that no term leaves 31 bits: see `requantization`."""
    from tvm import tirx

    value, multiplier = call.args
    variable = tirx.Var("value", value.ty)
    high = tirx.shift_right(variable, _like(value, _HALF_BITS)) * multiplier
    low = tirx.bitwise_and(variable, _like(value, 2**_HALF_BITS - 1)) * multiplier
    return tirx.Let(variable, value, high + tirx.shift_right(low, _like(value, _HALF_BITS)))


def _lower_round_shift(call: ir.Call) -> ir.Expr:
    from tvm import tirx

    value, places = call.args
    shifted = tirx.shift_right(value, tirx.Cast(str(value.ty.dtype), places))
    return tirx.shift_right(shifted + _like(value, 1), _like(value, 1))


def _lower_narrow(call: ir.Call) -> ir.Expr:
    return lower_narrow(call.args[0], *narrow_numbers(call), "int8")


RULES = {MULTIPLY_HIGH: _lower_multiply_high, ROUND_SHIFT: _lower_round_shift, NARROW: _lower_narrow}


def lanes_of(value: ir.Expr) -> int:
    """1 for a scalar."""
    return int(value.ty.dtype.lanes)


def _like(value: ir.Expr, number: int) -> ir.Expr:
    """An int32 constant of as many lanes."""
    from tvm import tirx

    constant, lanes = tirx.const(number, "int32"), lanes_of(value)
    return constant if lanes == 1 else tirx.Broadcast(constant, lanes)


def _with_lanes(dtype: str, value: ir.Expr) -> str:
    lanes = lanes_of(value)
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def _call(dtype: str, name: str, *arguments: ir.Expr) -> ir.Expr:
    from tvm import tirx

    _register()
    return tirx.call_intrin(dtype, name, *arguments)


@functools.cache
def _register() -> None:
    from tvm import ir, tirx

    for name, rule in RULES.items():
        ir.register_op_attr(name, "TVectorizable", True)
        ir.register_op_attr(name, "TCallEffectKind", _PURE)
        ir.register_op_attr(name, "TScriptPrinterName", name.removeprefix("tirx."))
        tirx.register_intrin_lowering(name, target="default", f=rule)
