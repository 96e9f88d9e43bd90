"""exp and erf of float32 as polynomials, which run as vectors where libm's functions take one element at a time.

Largest error over all of float32, measured against float64 (tests/schedules/cpu/test_polynomials.py):

    exp    2 units in the last place; subnormal results, infinities and NaN as they should be
    erf    4e-7 of the result

Methods: exp by the reduction x = n ln 2 + r of W. J. Cody and W. Waite (Software Manual for the Elementary Functions,
1980), with a polynomial of degree 6 in r; erf as x P(x^2) / Q(x^2) on [-4, 4], beyond which it is one to a unit in the
last place. The coefficients are our own fits to the least relative error, by iteratively reweighted least squares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

_FLOAT = "float32"

# exp(r) = 1 + r + r^2 q(r) for |r| <= ln(2) / 2; the fit's own error is 3e-9.
_EXP = (0.4999999403953552, 0.1666651964187622, 0.04166839271783829, 0.008368780836462975, 0.001381446490995586)
_LOG2_E = 1.4426950408889634
_LN2_HIGH = 0.693359375  # few enough bits that n times it is exact
_LN2_LOW = -2.12194440054690583e-4  # ln(2) - _LN2_HIGH
_EXP_HIGHEST, _EXP_LOWEST = 89.0, -104.0  # beyond, the result is infinite or zero

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


def use_polynomials(body: tirx.Stmt) -> tirx.Stmt:
    """`exp(x)` and `erf(x)` of float32 -> their polynomials; `sigmoid(x)` -> `1 / (1 + exp(-x))`."""
    from tvm import ir
    from tvm_ffi.structural import structural_mutate

    def on_call(call: ir.Call, mutator: Any) -> Expr:
        call = mutator.default_mutate(call)
        make = _POLYNOMIALS.get(str(getattr(call.op, "name", "")))
        return make(call.args[0]) if make is not None and str(call.ty.dtype) == _FLOAT else call

    return structural_mutate(body, ((ir.Call, on_call),))


def exp(x: Expr) -> Expr:
    """2^n exp(r), x = n ln 2 + r; 2^n as two factors, so that the ends of the range come out right."""
    from tvm import tirx

    def scale(power: Expr) -> Expr:
        return tirx.reinterpret(_FLOAT, tirx.shift_left(power + 127, 23))

    def scaled(kept: Expr, n: Expr) -> Expr:
        reduced = kept - n * _number(_LN2_HIGH) - n * _number(_LN2_LOW)
        result = _bound(reduced, lambda r: _number(1) + r + r * r * _horner(_EXP, r), "r")

        def multiply(power: Expr) -> Expr:
            half = tirx.shift_right(power, 1)
            return result * scale(half) * scale(power - half)

        return _bound(tirx.Cast("int32", n), multiply, "power")

    def nearest(kept: Expr) -> Expr:
        n = tirx.floor(kept * _number(_LOG2_E) + _number(0.5))
        return _bound(n, lambda number: scaled(kept, number), "n")

    return _bound(x, lambda given: _bound(_clip(given, _EXP_LOWEST, _EXP_HIGHEST), nearest, "kept"), "x")


def erf(x: Expr) -> Expr:
    """The quotient of two polynomials in x^2."""

    def quotient(kept: Expr) -> Expr:
        return _bound(kept * kept, lambda t: kept * _horner(_ERF_P, t) / _horner(_ERF_Q, t), "square")

    value = _bound(x, lambda given: _bound(_clip(given, -_ERF_LIMIT, _ERF_LIMIT), quotient, "kept"), "x")
    return _bound(value, lambda v: _clip(v, -1, 1), "value")


def sigmoid(x: Expr) -> Expr:
    """1 / (1 + exp(-x))."""
    return _number(1) / (_number(1) + exp(_number(0) - x))


_POLYNOMIALS: Mapping[str, Callable[[Expr], Expr]] = {"tirx.exp": exp, "tirx.erf": erf, "tirx.sigmoid": sigmoid}


def _number(value: float) -> Expr:
    from tvm import tirx

    return tirx.const(value, _FLOAT)


def _bound(value: Expr, body: Callable[[Expr], Expr], name: str) -> Expr:
    """`body` of a variable that holds `value`, so that what uses it often computes it once."""
    from tvm import ir, tirx

    variable = tirx.Var(name, ir.PrimType(str(value.ty.dtype)))
    return tirx.Let(variable, value, body(variable))


def _clip(x: Expr, low: float, high: float) -> Expr:
    """Within [low, high]; NaN stays, since no comparison holds for it."""
    from tvm import tirx

    return tirx.Select(x > _number(high), _number(high), tirx.Select(x < _number(low), _number(low), x))


def _horner(coefficients: Sequence[float], x: Expr) -> Expr:
    result = _number(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result * x + _number(coefficient)
    return result
