"""Reading a lowered Relax `main` as a straight list of kernel calls, or saying why it is not one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from edgecompile.errors import CompilerBugError

if TYPE_CHECKING:
    import numpy as np
    import tvm
    from tvm import relax


AT_LOAD = "edgecompile.at_load"
"""An attribute of kernels that read constants and what such kernels made, and run once when a network is opened."""


@dataclass(frozen=True, eq=False)
class Value:
    """One tensor, compared by identity; reshapes of it are the same value.

    Attributes:
        size_bytes: dense size.
        input_index: its position among `main`'s parameters, if it is one.
        constant: its content, if it is known.
    """

    size_bytes: int
    input_index: int | None = None
    constant: np.ndarray | None = None


_PACKED_CALLS = frozenset({"tirx.tvm_call_packed", "tirx.tvm_call_cpacked", "tirx.tvm_call_packed_lowered"})

# What an expression of `main` stands for: a tensor, or a tuple whose items may be tuples.
Values: TypeAlias = "Value | tuple[Values, ...]"


@dataclass(frozen=True)
class StaticCall:
    """`results = kernel(arguments)`, bound to `variable` in `main`."""

    variable: str
    kernel: str
    arguments: tuple[Value, ...]
    results: tuple[Value, ...]


@dataclass
class StaticProgram:
    """Kernel calls in order, and the values that `main` returns.

    Attributes:
        calls: of one inference.
        loads: of kernels that decode constants, for once before the first inference.
        outputs: in order.
    """

    calls: list[StaticCall] = field(default_factory=list)
    loads: list[StaticCall] = field(default_factory=list)
    outputs: tuple[Value, ...] = ()


def why_not_static(module: tvm.IRModule) -> str | None:
    """The reason why a lowered module needs Relax's virtual machine, or None when a static plan can express it."""
    from tvm import relax

    main = module["main"]
    for parameter in main.params:
        if not _is_static_tensor(parameter.ty):
            return f"input {parameter.name!r} has dimensions that are not known at compile time"
    if not isinstance(main.body, relax.SeqExpr):
        return "the function body is not a sequence of bindings"
    for block in main.body.blocks:
        for binding in block.bindings:
            reason = _why_not_static_binding(binding)
            if reason:
                return reason
    return _why_not_static_kernels(module)


def _why_not_static_kernels(module: tvm.IRModule) -> str | None:
    """A kernel that calls a function of TVM's runtime has nobody to call in a library without that runtime."""
    import tvm
    from tvm import tirx
    from tvm_ffi.structural import structural_walk

    callees: list[str] = []

    def visit(call: tvm.ir.Call) -> None:
        if getattr(call.op, "name", "") in _PACKED_CALLS:
            callees.append(str(getattr(call.args[0], "value", call.args[0])))

    for variable, function in module.functions_items():
        if isinstance(function, tirx.PrimFunc):
            structural_walk(function.body, (tvm.ir.Call, visit))
            if callees:
                return f"the kernel {variable.name_hint!r} calls {callees[0]!r} of TVM's runtime library"
    return None


def _why_not_static_binding(binding: relax.Binding) -> str | None:
    import tvm
    from tvm import relax

    if isinstance(binding, relax.MatchCast):
        return f"the shape of {binding.var.name!r} is checked at run time"
    value = binding.value
    if isinstance(value, relax.If):
        return "the model has a branch that depends on run-time values"
    if isinstance(value, relax.Call):
        name = value.op.name if isinstance(value.op, tvm.ir.Op) else str(value.op)
        if name == "relax.call_tir" and len(value.args) > 2:
            return f"the kernel {value.args[0].name_hint!r} takes dimensions that are not known at compile time"
        if name not in ("relax.call_tir", "relax.reshape"):
            return f"the operator {name!r} has no kernel of static shape"
        if not _is_static(binding.var.ty):
            return f"the shape of the result of {name!r} is not known at compile time"
        return None
    if isinstance(value, (relax.Var, relax.Tuple, relax.TupleGetItem, tvm.ir.GenericConst, relax.ShapeExpr)):
        return None
    return f"the expression {type(value).__name__} is not a kernel call"


def _is_static(type_: tvm.ir.Type) -> bool:
    from tvm import relax

    if isinstance(type_, relax.TupleType):
        return all(_is_static(item) for item in type_.fields)
    return _is_static_tensor(type_)


def _is_static_tensor(type_: tvm.ir.Type) -> bool:
    import tvm
    from tvm import relax

    if not isinstance(type_, relax.TensorType) or not isinstance(type_.shape, relax.ShapeExpr):
        return False
    return all(isinstance(dim, tvm.tirx.IntImm) for dim in type_.shape.values)


def read_static_program(module: tvm.IRModule) -> StaticProgram:
    """The calls of `main`, for a module to which `why_not_static` answers None."""
    from tvm import relax

    reader = _Reader(_kernels_at_load(module))
    main = module["main"]
    for index, parameter in enumerate(main.params):
        reader.values[parameter] = Value(tensor_bytes(parameter.ty), input_index=index)
    for block in main.body.blocks:
        for binding in block.bindings:
            reader.bind(binding)
    result = reader.evaluate(main.body.body)
    outputs = result if isinstance(result, tuple) else (result,)
    tensors = tuple(output for output in outputs if isinstance(output, Value))
    if len(tensors) != len(outputs):
        raise CompilerBugError("main returns nested tuples; the frontend must flatten its outputs")
    reader.program.outputs = tensors
    assert isinstance(main.body, relax.SeqExpr)
    return reader.program


def _kernels_at_load(module: tvm.IRModule) -> frozenset[str]:
    return frozenset(
        variable.name_hint
        for variable, function in module.functions_items()
        if function.attrs is not None and AT_LOAD in function.attrs
    )


class _Reader:
    def __init__(self, at_load: frozenset[str]) -> None:
        self._at_load = at_load
        self._loaded: set[Value] = set()
        self.program = StaticProgram()
        self.values: dict[relax.Var, Values] = {}

    def bind(self, binding: relax.Binding) -> None:
        from tvm import relax

        value = binding.value
        if isinstance(value, relax.Call) and value.op.name == "relax.call_tir":
            self.values[binding.var] = self._call(binding.var, value)
        elif isinstance(value, relax.Call):  # a reshape changes the view, not the bytes
            self.values[binding.var] = self.evaluate(value.args[0])
        elif not isinstance(value, relax.ShapeExpr):
            self.values[binding.var] = self.evaluate(value)

    def _call(self, variable: relax.Var, call: relax.Call) -> Value | tuple[Value, ...]:
        arguments = tuple(self._tensor(argument) for argument in call.args[1].fields)
        types = [field for type_ in call.ty_args for field in getattr(type_, "fields", [type_])]
        results = tuple(Value(tensor_bytes(type_)) for type_ in types)
        made = StaticCall(variable.name, call.args[0].name_hint, arguments, results)
        is_load = made.kernel in self._at_load
        assert not is_load or all(value.constant is not None or value in self._loaded for value in arguments)
        if is_load:
            self._loaded.update(results)
        (self.program.loads if is_load else self.program.calls).append(made)
        return results if hasattr(variable.ty, "fields") else results[0]

    def _tensor(self, expression: relax.Expr) -> Value:
        value = self.evaluate(expression)
        assert isinstance(value, Value), "a kernel takes tensors, not tuples"
        return value

    def evaluate(self, expression: relax.Expr) -> Values:
        import tvm
        from tvm import relax

        if isinstance(expression, relax.Var):
            return self.values[expression]
        if isinstance(expression, tvm.ir.GenericConst):
            array = expression.value.numpy()
            return Value(array.nbytes, constant=array)
        if isinstance(expression, relax.Tuple):
            return tuple(self.evaluate(item) for item in expression.fields)
        if isinstance(expression, relax.TupleGetItem):
            items = self.evaluate(expression.tuple_value)
            assert isinstance(items, tuple), "an item is taken of a tuple only"
            return items[expression.index]
        raise CompilerBugError(f"the plan cannot place an expression of type {type(expression).__name__}")


def tensor_bytes(type_: relax.TensorType) -> int:
    """Dense size of a tensor of static shape; booleans take one byte each."""
    elements = 1
    for dimension in type_.shape.values:
        elements *= int(dimension)
    return elements * (-(-type_.dtype.dtype.bits // 8))
