"""Kernels that differ in numbers alone -> one function that is given the numbers.

    k0(x, y): y[i] = max(x[i], -128) + 3        shared(x, y, a, b): y[i] = max(x[i], a) + b
    k1(x, y): y[i] = max(x[i], -60) + 7    ->   k0 = shared(.., -128, 3), k1 = shared(.., -60, 7)

Zero points, bounds and scales make such kernels of equal layers of a quantized network. They are arguments, so a loop
reads them from registers as it did before; numbers that are the same in all kernels stay where they are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tvm import ir, tirx

    Number: TypeAlias = "tirx.IntImm | tirx.FloatImm"
    Replace: TypeAlias = Callable[[Number, int], ir.Expr]

MOST_ARGUMENTS = 3
"""Kernels that differ in more numbers stay apart: on a Cortex-A76 the epilogues of residual sums, with four to six,
would execute 2 to 5 % more instructions, since as many vectors more must live beside the sums."""

_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64")
_SIGNED = {"int32": ("int8", "int16"), "int64": ("int8", "int16", "int32")}


@dataclass(frozen=True)
class SharedKernel:
    """How to call a kernel.

    Attributes:
        symbol: of the kernel whose function computes it, among the `functions` of `share_kernels`.
        numbers: the function's arguments behind the kernel's own.
    """

    symbol: str
    numbers: tuple[ir.Expr, ...] = ()


@dataclass(frozen=True)
class _Column:
    """What stands at one place of kernels that are alike.

    Attributes:
        values: by kernel, spelled, since zero and its negative count as equal but are not.
        dtype: in which it is given.
    """

    values: tuple[str, ...]
    dtype: str

    @staticmethod
    def of(numbers: Sequence[Number]) -> _Column:
        values = [number.value for number in numbers]
        return _Column(tuple(map(repr, values)), _narrowest(str(numbers[0].ty.dtype), values))

    @property
    def is_varied(self) -> bool:
        return len(set(self.values)) > 1

    def number(self, at: int) -> ir.Expr:
        """The argument for one kernel."""
        from tvm import tirx

        is_float = self.dtype.startswith("float")
        return tirx.const(float(self.values[at]) if is_float else int(self.values[at]), self.dtype)


def share_kernels(
    kernels: Mapping[str, tirx.PrimFunc],
) -> tuple[dict[str, tirx.PrimFunc], dict[str, SharedKernel]]:
    """Give kernels that differ in numbers alone one function.

    Args:
        kernels: by symbol, lowered as far as `target.build.llvm` wants them.

    Returns:
        The functions, by the symbol of the first kernel of each; those that nothing shares are as they were. And how
        each kernel is called.
    """
    import tvm_ffi

    alike: dict[int, list[str]] = defaultdict(list)
    plain = {name: _without_numbers(kernel) for name, kernel in kernels.items()}
    for name, (skeleton, _) in plain.items():
        alike[tvm_ffi.structural_hash(skeleton, map_free_vars=True)].append(name)
    functions: dict[str, tirx.PrimFunc] = {}
    calls: dict[str, SharedKernel] = {}
    for names in alike.values():
        while names:
            first, *others = names
            same = [name for name in others if _is_equal(plain[name][0], plain[first][0])]
            function, shared = _shared(kernels, [first, *same], [plain[name][1] for name in (first, *same)])
            functions[first] = function
            calls.update(shared)
            names = [name for name in others if name not in shared]
    return functions, calls


def _shared(
    kernels: Mapping[str, tirx.PrimFunc], names: Sequence[str], numbers: Sequence[Sequence[Number]]
) -> tuple[tirx.PrimFunc, dict[str, SharedKernel]]:
    """The function of the first kernel, and the calls of those that it can compute."""
    from tvm import tirx

    first = kernels[names[0]]
    alone = first, {names[0]: SharedKernel(names[0])}
    if len(names) == 1 or any(len(found) != len(numbers[0]) for found in numbers):
        return alone
    columns = [_Column.of(column) for column in zip(*numbers, strict=True)]
    arguments = list(dict.fromkeys(column for column in columns if column.is_varied))
    if len(arguments) > MOST_ARGUMENTS:
        return alone
    variables = {column: tirx.Var(f"number{at}", _prim(column.dtype)) for at, column in enumerate(arguments)}
    places = iter(columns)

    def replace(number: Number, lanes: int) -> ir.Expr:
        column = next(places)
        if not column.is_varied:
            return _spread(number, lanes)
        # Widened behind the spreading: there LLVM sees a product of narrow vectors.
        dtype, spread = str(number.ty.dtype), _spread(variables[column], lanes)
        return spread if column.dtype == dtype else tirx.Cast(dtype if lanes == 1 else f"{dtype}x{lanes}", spread)

    body = _replaced(first.body, replace)
    parameters = [*first.params, *variables.values()]
    function = tirx.PrimFunc(parameters, body, ret_type=first.ret_type, attrs=first.attrs)
    calls = {
        name: SharedKernel(names[0], tuple(column.number(at) for column in arguments)) for at, name in enumerate(names)
    }
    return function, calls


def _narrowest(dtype: str, values: Sequence[int | float]) -> str:
    """The signed type that holds the values: of what LLVM knows the bits it chooses narrow products."""
    for narrow in _SIGNED.get(dtype, ()):
        limit = 1 << (int(narrow.removeprefix("int")) - 1)
        if all(-limit <= value < limit for value in values):
            return narrow
    return dtype


def _spread(value: ir.Expr, lanes: int) -> ir.Expr:
    from tvm import tirx

    return value if lanes == 1 else tirx.Broadcast(value, lanes)


def _prim(dtype: str) -> ir.Type:
    import tvm

    return tvm.ir.PrimType(dtype)


def _without_numbers(kernel: tirx.PrimFunc) -> tuple[tirx.PrimFunc, list[Number]]:
    """The function with zeros for all numbers that may be arguments, and these, in order."""
    from tvm import tirx

    numbers: list[Number] = []

    def replace(number: Number, lanes: int) -> ir.Expr:
        numbers.append(number)
        return _spread(tirx.const(0, str(number.ty.dtype)), lanes)

    body = _replaced(kernel.body, replace)
    return tirx.PrimFunc(kernel.params, body, ret_type=kernel.ret_type), numbers


def _is_equal(one: tirx.PrimFunc, other: tirx.PrimFunc) -> bool:
    import tvm_ffi

    return bool(tvm_ffi.structural_equal(one, other, map_free_vars=True))


def _replaced(body: tirx.Stmt, replace: Replace) -> tirx.Stmt:
    """The body with other expressions for the numbers in what it stores.

    Not for those in indices, extents and conditions of loops, by which code is chosen; nor for divisors and shifts,
    of which instructions have forms with the number in them; nor where LLVM wants a literal.
    """
    from tvm import ir, tirx
    from tvm_ffi.structural import structural_mutate

    is_value = False

    def on_store(store: tirx.BufferStore, mutator: Any) -> tirx.Stmt:
        nonlocal is_value
        is_value = True
        value = mutator.mutate(store.value)
        is_value = False
        return tirx.BufferStore(store.buffer, value, store.indices)

    def on_bind(bind: tirx.Bind, mutator: Any) -> tirx.Stmt:
        nonlocal is_value
        dtype = getattr(bind.var.ty, "dtype", None)
        if dtype is None or (dtype.lanes == 1 and not str(dtype).startswith("float")):  # it may be an index
            return bind
        is_value = True
        value = mutator.mutate(bind.value)
        is_value = False
        return tirx.Bind(bind.var, value)

    def on_shuffle(shuffle: tirx.Shuffle, mutator: Any) -> ir.Expr:
        return tirx.Shuffle([mutator.mutate(vector) for vector in shuffle.vectors], shuffle.indices)

    def on_number(number: Number, mutator: Any) -> ir.Expr:
        del mutator
        return replace(number, 1) if is_value and str(number.ty.dtype) in _DTYPES else number

    def on_broadcast(broadcast: tirx.Broadcast, mutator: Any) -> ir.Expr:
        number = broadcast.value
        if is_value and isinstance(number, literals) and str(number.ty.dtype) in _DTYPES:
            return replace(number, int(broadcast.lanes))
        return mutator.default_mutate(broadcast)

    def on_call(call: ir.Call, mutator: Any) -> ir.Expr:
        arguments = [argument if isinstance(argument, literals) else mutator.mutate(argument) for argument in call.args]
        if all(new.same_as(old) for new, old in zip(arguments, call.args, strict=True)):
            return call
        return ir.Call(call.op, arguments, attrs=call.attrs, ty_args=call.ty_args, ret_ty=call.ty)

    def on_quotient(quotient: tirx.Div, mutator: Any) -> ir.Expr:
        divisor = quotient.b if _has_own_instructions(quotient.b) else mutator.mutate(quotient.b)
        return tirx.Div(mutator.mutate(quotient.a), divisor)

    def on_shift(shift: tirx.RShift | tirx.LShift, mutator: Any) -> ir.Expr:
        value = mutator.mutate(shift.a)
        return type(shift)(value, shift.b if _is_number(shift.b) else mutator.mutate(shift.b))

    def unchanged(node: Any, mutator: Any) -> Any:
        del mutator
        return node

    literals = (tirx.IntImm, tirx.FloatImm)
    fixed = (ir.TensorLoad, tirx.Ramp, tirx.Mod, tirx.FloorDiv, tirx.FloorMod)
    handlers = (
        (tirx.BufferStore, on_store),
        (tirx.Bind, on_bind),
        (tirx.Shuffle, on_shuffle),
        (tirx.Div, on_quotient),
        (tirx.RShift, on_shift),
        (tirx.LShift, on_shift),
        (ir.Call, on_call),
        (tirx.Broadcast, on_broadcast),
        (tirx.IntImm, on_number),
        (tirx.FloatImm, on_number),
        *((kind, unchanged) for kind in fixed),
    )
    return structural_mutate(body, handlers)


def _has_own_instructions(divisor: ir.Expr) -> bool:
    """True of integers and of powers of two, which need no division."""
    from tvm import tirx

    number = divisor.value if isinstance(divisor, tirx.Broadcast) else divisor
    return not isinstance(number, tirx.FloatImm) or math.frexp(number.value)[0] in (0.5, -0.5)


def _is_number(value: ir.Expr) -> bool:
    from tvm import tirx

    number = value.value if isinstance(value, tirx.Broadcast) else value
    return isinstance(number, tirx.IntImm)
