"""exp, erf, tanh and log of float32 as polynomials: vectors, where libm's functions take one element at a time.

Largest error over all of float32, measured against float64 (tests/schedules/cpu/test_polynomials.py):

    exp      2 units in the last place; subnormal results, infinities and NaN as they should be
    exp of numbers that are not positive    the same, with zero for what is below the least normal number
    erf      4e-7 of the result
    tanh     3 units in the last place
    log      1 unit in the last place; subnormal arguments, zero, negative numbers and infinity as they should be
    log1p    1.5 units in the last place
    x^2, x^3    1.5 units in the last place; the exponent must be a constant

Methods: exp by the reduction x = n ln 2 + r of W. J. Cody and W. Waite (Software Manual for the Elementary Functions,
1980), with a polynomial of degree 6 in r; erf as x P(x^2) / Q(x^2) on [-4, 4], beyond which it is one to a unit in the
last place; tanh by exp(-2 |x|) - 1 with the same reduction; log by m 2^e with m from sqrt(1/2) to sqrt(2) and a
polynomial in m - 1, as in S. L. Moshier's Cephes (1989); log1p by the log of the rounded sum and what rounding took
from it (W. Kahan). The coefficients are our own fits to the least relative error, by iteratively reweighted least
squares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgecompile.integer.requantization import bound

if TYPE_CHECKING:
    from tvm import ir, tirx

    from schedules.cpu.loops import Expr

_FLOAT = "float32"

# exp(r) = 1 + r + r^2 q(r) for |r| <= ln(2) / 2; the fit's own error is 3e-9.
_EXP = (0.4999999403953552, 0.1666651964187622, 0.04166839271783829, 0.008368780836462975, 0.001381446490995586)
_LOG2_E = 1.4426950408889634
_LN2_HIGH = 0.693359375  # few enough bits that n times it is exact
_LN2_LOW = -2.12194440054690583e-4  # ln(2) - _LN2_HIGH
_EXP_HIGHEST, _EXP_LOWEST = 89.0, -104.0  # beyond, the result is infinite or zero
_EXP_LEAST_NORMAL = -87.33654  # its exponential is just above the least normal number
_ROUNDER = 1.5 * 2.0**23  # added, it leaves a whole number in the low bits

# erf(x) = x P(x^2) / Q(x^2) for |x| <= 4; the fit's own error is 2e-9.
_ERF_P = (
    1.128379225730896,
    0.18520477414131165,
    0.05431698262691498,
    0.003849658416584134,
    0.00037960417103022337,
    4.68461075797677e-06,
    -1.3201466586565402e-08,
)
_ERF_Q = (
    1.0,
    0.4974668622016907,
    0.113958939909935,
    0.015462166629731655,
    0.0013075732858851552,
    6.31090224487707e-05,
)
_ERF_LIMIT = 4.0

_TANH_LIMIT = 10.0  # beyond, the result is one to half a unit in the last place

# log(1 + f) = f - f^2 / 2 + f^3 q(f) for sqrt(1/2) <= 1 + f <= sqrt(2); the fit's own error is 7e-10.
_LOG = (
    0.3333331346511841,
    -0.25000008940696716,
    0.2000211924314499,
    -0.1666799634695053,
    0.14219552278518677,
    -0.1240558847784996,
    0.11888167262077332,
    -0.11675657331943512,
    0.0674663633108139,
)
_LN2 = 0.6931471805599453
_LARGEST = 3.4028234663852886e38
_LEAST_NORMAL = 1.1754943508222875e-38
_SUBNORMAL_SHIFT = 23  # powers of two that make every subnormal number normal
_MANTISSA_BITS = 23
_SQRT_HALF_BITS = 0x3F3504F3
_MOST_POWER = 3


def use_polynomials(body: tirx.Stmt) -> tirx.Stmt:
    """Calls of the functions above of float32 -> their polynomials; `sigmoid(x)` -> `1 / (1 + exp(-x))`."""
    from tvm import ir
    from tvm_ffi.structural import structural_mutate

    def on_call(call: ir.Call, mutator: Any) -> Expr:
        call = mutator.default_mutate(call)
        name = str(getattr(call.op, "name", ""))
        if str(getattr(call.ty, "dtype", "")) != _FLOAT:
            return call
        if name == "tirx.pow":
            return _power(call)
        make = _POLYNOMIALS.get(name)
        return make(call.args[0]) if make is not None else call

    return structural_mutate(body, ((ir.Call, on_call),))


def exp(x: Expr) -> Expr:
    """2^n exp(r), x = n ln 2 + r; 2^n as two factors, so that the ends of the range come out right."""
    from tvm import tirx

    def scaled(n: Expr, r: Expr) -> Expr:
        result = _number(1) + r + r * r * _horner(_EXP, r)

        def multiply(power: Expr) -> Expr:
            half = tirx.shift_right(power, 1)
            return result * _power_of_two(half) * _power_of_two(power - half)

        return bound(tirx.Cast("int32", n), multiply, "power")

    def reduce(kept: Expr) -> Expr:
        return _reduced(kept, scaled)

    return bound(x, lambda given: bound(_clip(given, _EXP_LOWEST, _EXP_HIGHEST), reduce, "kept"), "x")


def exp_of_nonpositive(x: Expr) -> Expr:
    """exp(x) for x <= 0 or NaN, in two thirds of the instructions: n is rounded in place, and one 2^n is enough."""
    from tvm import tirx

    def scaled(given: Expr, rounded: Expr) -> Expr:
        n = rounded - _number(_ROUNDER)
        reduced = given - n * _number(_LN2_HIGH) - n * _number(_LN2_LOW)
        return bound(reduced, lambda r: joined(given, rounded, r), "r")

    def joined(given: Expr, rounded: Expr, r: Expr) -> Expr:
        bits = tirx.shift_left(tirx.reinterpret("int32", rounded), _MANTISSA_BITS) + (127 << _MANTISSA_BITS)
        result = (_number(1) + r + r * r * _horner(_EXP, r)) * tirx.reinterpret(_FLOAT, bits)
        return tirx.Select(given < _number(_EXP_LEAST_NORMAL), _number(0), result)

    def rounded(given: Expr) -> Expr:
        return bound(given * _number(_LOG2_E) + _number(_ROUNDER), lambda n: scaled(given, n), "rounded")

    return bound(x, rounded, "x")


def _reduced(x: Expr, body: Callable[[Expr, Expr], Expr]) -> Expr:
    """`body` of a whole number n and of r with |r| <= ln(2) / 2, where x = n ln 2 + r."""
    from tvm import tirx

    def remainder(n: Expr) -> Expr:
        r = x - n * _number(_LN2_HIGH) - n * _number(_LN2_LOW)
        return bound(r, lambda rest: body(n, rest), "r")

    return bound(tirx.floor(x * _number(_LOG2_E) + _number(0.5)), remainder, "n")


def _power_of_two(power: Expr) -> Expr:
    """2^power as float32, of an int32 from -126 to 127."""
    from tvm import tirx

    return tirx.reinterpret(_FLOAT, tirx.shift_left(power + 127, _MANTISSA_BITS))


def erf(x: Expr) -> Expr:
    """The quotient of two polynomials in x^2."""

    def quotient(kept: Expr) -> Expr:
        return bound(kept * kept, lambda t: kept * _horner(_ERF_P, t) / _horner(_ERF_Q, t), "square")

    value = bound(x, lambda given: bound(_clip(given, -_ERF_LIMIT, _ERF_LIMIT), quotient, "kept"), "x")
    return bound(value, lambda v: _clip(v, -1, 1), "value")


def sigmoid(x: Expr) -> Expr:
    """1 / (1 + exp(-x))."""
    return _number(1) / (_number(1) + exp(_number(0) - x))


def tanh(x: Expr) -> Expr:
    """-m / (2 + m) of |x|, m = exp(-2 |x|) - 1 = 2^n (exp(r) - 1) + (2^n - 1), which cancels nothing near zero."""
    from tvm import tirx

    def quotient(n: Expr, r: Expr) -> Expr:
        def join(scale: Expr) -> Expr:
            return bound(scale * (r + r * r * _horner(_EXP, r)) + (scale - _number(1)), divide, "m")

        return bound(_power_of_two(tirx.Cast("int32", n)), join, "scale")

    def divide(m: Expr) -> Expr:
        return (_number(0) - m) / (_number(2) + m)

    def signed(given: Expr) -> Expr:
        size = tirx.Select(given < _number(0), given, _number(0) - given)
        size = tirx.Select(size < _number(-_TANH_LIMIT), _number(-_TANH_LIMIT), size)
        result = bound(size * _number(2), lambda twice: _reduced(twice, quotient), "twice")
        return bound(result, lambda t: tirx.Select(given < _number(0), _number(0) - t, t), "t")

    return bound(x, signed, "x")


def log(x: Expr) -> Expr:
    """e ln 2 + log(m), x = m 2^e with sqrt(1/2) <= m < sqrt(2)."""
    from tvm import tirx

    def of_parts(shifted: Expr) -> Expr:
        """Of the bits of x less those of sqrt(1/2): the exponent stands above the bits of the mantissa."""
        mantissa = tirx.bitwise_and(shifted, (1 << _MANTISSA_BITS) - 1) + _SQRT_HALF_BITS
        exponent = tirx.Cast(_FLOAT, tirx.shift_right(shifted, _MANTISSA_BITS))
        return bound(
            exponent, lambda e: bound(tirx.reinterpret(_FLOAT, mantissa) - 1, lambda f: near_one(e, f), "f"), "e"
        )

    def near_one(e: Expr, f: Expr) -> Expr:
        square = f * f
        small = e * _number(_LN2_LOW) + (f * square * _horner(_LOG, f) - _number(0.5) * square)
        return e * _number(_LN2_HIGH) + (f + small)

    def of_normal(given: Expr) -> Expr:
        bits = tirx.reinterpret("int32", given)
        return bound(bits - _SQRT_HALF_BITS, of_parts, "shifted")

    def at_ends(given: Expr) -> Expr:
        tiny = given < _number(_LEAST_NORMAL)
        scaled = tirx.Select(tiny, given * _number(2.0**_SUBNORMAL_SHIFT), given)
        shift = tirx.Select(tiny, _number(_SUBNORMAL_SHIFT * _LN2), _number(0))
        result = bound(scaled, of_normal, "normal") - shift
        result = tirx.Select(given > _number(_LARGEST), given, result)
        result = tirx.Select(given.equal(_number(0)), _number(-math.inf), result)
        return tirx.Select(given >= _number(0), result, _number(math.nan))

    return bound(x, at_ends, "x")


def log1p(x: Expr) -> Expr:
    """log(u) + (x - (u - 1)) / u, u = 1 + x rounded."""
    from tvm import tirx

    def corrected(given: Expr, u: Expr) -> Expr:
        rest = (given - (u - _number(1))) / u
        inside = tirx.And(u > _number(0), u <= _number(_LARGEST))
        return log(u) + tirx.Select(inside, rest, _number(0))

    return bound(x, lambda given: bound(_number(1) + given, lambda u: corrected(given, u), "u"), "x")


def _power(call: ir.Call) -> Expr:
    """x^n as products for a small whole constant n; the call itself otherwise."""
    from tvm import tirx

    base, exponent = call.args
    if not isinstance(exponent, tirx.FloatImm) or exponent.value not in range(2, _MOST_POWER + 1):
        return call

    def products(x: Expr) -> Expr:
        square = x * x
        return square if exponent.value == 2 else square * x

    return bound(base, products, "base")


_POLYNOMIALS: Mapping[str, Callable[[Expr], Expr]] = {
    "tirx.exp": exp,
    "tirx.erf": erf,
    "tirx.sigmoid": sigmoid,
    "tirx.tanh": tanh,
    "tirx.log": log,
    "tirx.log1p": log1p,
}


def _number(value: float) -> Expr:
    from tvm import tirx

    return tirx.const(value, _FLOAT)


def _clip(x: Expr, low: float, high: float) -> Expr:
    """Within [low, high]; NaN stays, since no comparison holds for it."""
    from tvm import tirx

    return tirx.Select(x > _number(high), _number(high), tirx.Select(x < _number(low), _number(low), x))


def _horner(coefficients: Sequence[float], x: Expr) -> Expr:
    result = _number(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result * x + _number(coefficient)
    return result
