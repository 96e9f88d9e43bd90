"""Give integer division by run-time values an answer for every divisor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision

if TYPE_CHECKING:
    import tvm
    from tvm import tirx


@dataclass(frozen=True)
class GuardIntegerDivision:
    """Replace the two divisions that stop an x86 process.

        a / b   ->   select(b == 0, 0, select(b == -1, 0 - a, a / d))   where d = select(b == 0 or b == -1, 1, b)
        a % b   ->   select(b == 0, a, a % d)

    Dividing by 0, and the least integer by -1, raises a signal on x86; ARM answers 0 and wraps around. With the guard
    every target gives ARM's answers. Divisors that are constants need none.
    """

    name: str = "GuardIntegerDivision"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        import tvm
        from tvm import tirx

        functions = {}
        for variable, function in module.functions_items():
            guarded = _guard(function) if isinstance(function, tirx.PrimFunc) else function
            if not guarded.same_as(function):
                decisions.append(
                    Decision(self.name, variable.name_hint, True, "it divides integers by run-time values")
                )
            functions[variable] = guarded
        return tvm.IRModule(functions, attrs=module.attrs)


def _guard(function: tirx.PrimFunc) -> tirx.PrimFunc:
    from tvm import tirx
    from tvm_ffi.structural import structural_map

    body = structural_map(
        function.body, (((tirx.Div, tirx.FloorDiv), _quotient), ((tirx.Mod, tirx.FloorMod), _remainder))
    )
    return function if body.same_as(function.body) else function.with_body(body)


def _quotient(division: tirx.Div | tirx.FloorDiv) -> tirx.Expr:
    from tvm import tirx

    if not _may_trap(division):
        return division
    a, b = division.a, division.b
    zero = tirx.const(0, _dtype(division))
    result = type(division)(a, _safe_divisor(b))
    if not _is_unsigned(division):
        result = tirx.Select(b == tirx.const(-1, _dtype(division)), zero - a, result)
    return tirx.Select(b == zero, zero, result)


def _remainder(division: tirx.Mod | tirx.FloorMod) -> tirx.Expr:
    from tvm import tirx

    if not _may_trap(division):
        return division
    a, b = division.a, division.b
    return tirx.Select(b == tirx.const(0, _dtype(division)), a, type(division)(a, _safe_divisor(b)))


def _safe_divisor(b: tirx.Expr) -> tirx.Expr:
    from tvm import tirx

    dtype = _dtype(b)
    traps = b == tirx.const(0, dtype)
    if not dtype.startswith("uint"):
        traps = tirx.Or(traps, b == tirx.const(-1, dtype))
    return tirx.Select(traps, tirx.const(1, dtype), b)


def _may_trap(division: tirx.Expr) -> bool:
    from tvm import tirx

    return "int" in _dtype(division) and not isinstance(division.b, tirx.IntImm)


def _is_unsigned(expression: tirx.Expr) -> bool:
    return _dtype(expression).startswith("uint")


def _dtype(expression: tirx.Expr) -> str:
    return str(expression.ty.dtype)
