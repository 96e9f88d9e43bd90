"""One module for every choice of compressed layers: what differs is computed both ways, an input selects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tvm
from tvm import relax
from tvm_ffi.structural import structural_equal, structural_mutate

from edgecompile.compress.graph.variables import bindings_of
from edgecompile.errors import UnsupportedModelError


class Switch(NamedTuple):
    """One place where a compressed module computes something else.

    Attributes:
        kind: "tensor": a value goes through quantize and dequantize; "constants": a call reads other constants.
        name: of the variable, the same in both modules.
    """

    kind: str
    name: str


@dataclass(frozen=True)
class SwitchedModule:
    """A module with one more input, `switches [len(switches)] float32`: 1 computes as compressed, 0 as it was.

    Attributes:
        module: `main(inputs..., switches)` with the outputs of the original.
        switches: in the order of the input's elements.
    """

    module: tvm.IRModule
    switches: tuple[Switch, ...]


def switched(original: tvm.IRModule, compressed: tvm.IRModule) -> SwitchedModule:
    """Merge two modules that differ by roundings of tensors and by constants.

        y = conv2d(x, w),  y' = conv2d(dequantize(quantize(x)), dequantize(w'))
        ->   z = where(s[0], dequantize(quantize(x)), x);   y = where(s[1], conv2d(z, dequantize(w')), conv2d(z, w))

    A product whose weight differs is computed twice, so both are constants, which can be packed.

    Args:
        original: its `main` is one dataflow block.
        compressed: the same variables by name, and those of the roundings.

    Raises:
        UnsupportedModelError: they differ in another way.
    """
    found = differences(original, compressed)
    main = compressed["main"]
    others = {variable: function for variable, function in compressed.functions_items() if variable.name_hint != "main"}
    builder = relax.BlockBuilder(tvm.IRModule(others))
    control = relax.Var(_fresh_name(main), relax.TensorType([len(found)], "float32"))
    with builder.function("main", [*main.params, control]):
        with builder.dataflow():
            writer = _Writer(original, compressed, builder, control, found)
            for binding in bindings_of(main):
                writer.write(binding)
            output = builder.emit_output(writer.renewed(main.body.body))
        builder.emit_func_output(output)
    return SwitchedModule(builder.finalize(), found)


def differences(original: tvm.IRModule, compressed: tvm.IRModule) -> tuple[Switch, ...]:
    """The switches that turn the original into the compressed module, in order of execution.

    Raises:
        UnsupportedModelError: a difference is neither a rounding nor a constant.
    """
    before, after = _Module(original), _Module(compressed)
    found = []
    for binding in bindings_of(compressed["main"]):
        name = binding.var.name
        rounded = after.rounded_variable(binding)
        if rounded is not None:
            found.append(Switch("tensor", rounded.name))
        elif name not in before.values:
            if isinstance(binding.value, relax.Call) and not after.is_rounding(binding):
                raise UnsupportedModelError(
                    f"a simulation needs roundings and decoded constants, found another operator at {name!r}"
                )
        elif after.reads_other_constants(binding, before.values[name]):
            found.append(Switch("constants", name))
    return tuple(found)


class _Module:
    """`main` by the names of its variables."""

    def __init__(self, module: tvm.IRModule) -> None:
        self.values: dict[str, relax.Expr] = {}
        self._decoded: set[str] = set()
        for binding in bindings_of(module["main"]):
            self.values[binding.var.name] = binding.value
            if all(variable.name in self._decoded for variable in relax.analysis.free_vars(binding.value)):
                self._decoded.add(binding.var.name)

    def rounded_variable(self, binding: relax.Binding) -> relax.Var | None:
        """x of `dequantize(quantize(x))`; None where the binding is something else."""
        if not _is_call(binding.value, "dequantize"):
            return None
        integers = binding.value.args[0]
        inner = self.values.get(integers.name) if isinstance(integers, relax.Var) else None
        if inner is None or not _is_call(inner, "quantize") or not isinstance(inner.args[0], relax.Var):
            return None
        return inner.args[0]

    def is_rounding(self, binding: relax.Binding) -> bool:
        """True for a quantize of a variable, and for whatever only constants feed: they are decoded."""
        return _is_call(binding.value, "quantize") or binding.var.name in self._decoded

    def reads_other_constants(self, binding: relax.Binding, before: relax.Expr) -> bool:
        """True where a call of the same operator has another constant in the place of one.

        Raises:
            UnsupportedModelError: the operator or the number of its operands differs.
        """
        after = binding.value
        if not isinstance(before, relax.Call) or not isinstance(after, relax.Call):
            return False
        if not structural_equal(after.op, before.op) or len(after.args) != len(before.args):
            raise UnsupportedModelError(f"a simulation needs the same operators, {binding.var.name!r} has another")
        return any(self._differs(old, new) for old, new in zip(before.args, after.args, strict=True))

    def _differs(self, before: relax.Expr, after: relax.Expr) -> bool:
        if not isinstance(before, tvm.ir.GenericConst):
            return False
        if not isinstance(after, tvm.ir.GenericConst):
            return True
        if before.value.data_ptr() == after.value.data_ptr():
            return False
        return not np.array_equal(before.value.numpy(), after.value.numpy(), equal_nan=True)


class _Writer:
    def __init__(
        self,
        original: tvm.IRModule,
        compressed: tvm.IRModule,
        builder: relax.BlockBuilder,
        control: relax.Var,
        switches: Sequence[Switch],
    ) -> None:
        self._before, self._after = _Module(original), _Module(compressed)
        self._builder, self._control = builder, control
        self._positions = {switch: position for position, switch in enumerate(switches)}
        self._new: dict[relax.Var, relax.Expr] = {parameter: parameter for parameter in compressed["main"].params}
        self._conditions: dict[int, relax.Var] = {}

    def renewed(self, value: relax.Expr) -> relax.Expr:
        """A value of the compressed module in the variables of the new one."""

        def on_variable(variable: tvm.ir.Var, mutator: object) -> relax.Expr:
            del mutator
            return self._new.get(variable, variable)

        return structural_mutate(value, ((tvm.ir.Var, on_variable),))

    def write(self, binding: relax.VarBinding) -> None:
        """Emit a binding, both ways and a selection where there is a switch for it."""
        name = binding.var.name
        value = self._builder.emit(self.renewed(binding.value), name_hint=name)
        rounded = self._after.rounded_variable(binding)
        if rounded is not None:
            value = self._selected(Switch("tensor", rounded.name), value, self._new[rounded])
        elif Switch("constants", name) in self._positions:
            plain = self._builder.emit(self._with_former_constants(binding), name_hint=f"{name}_plain")
            value = self._selected(Switch("constants", name), value, plain)
        self._new[binding.var] = value

    def _with_former_constants(self, binding: relax.VarBinding) -> relax.Call:
        before, after = self._before.values[binding.var.name], binding.value
        arguments = [
            old if isinstance(old, tvm.ir.GenericConst) else self.renewed(new)
            for old, new in zip(before.args, after.args, strict=True)
        ]
        return relax.Call(after.op, arguments, after.attrs)

    def _selected(self, switch: Switch, compressed: relax.Expr, plain: relax.Expr) -> relax.Var:
        position = self._positions[switch]
        if position not in self._conditions:
            element = self._builder.emit(
                relax.op.strided_slice(self._control, axes=[0], begin=[position], end=[position + 1])
            )
            scalar = self._builder.emit(relax.op.reshape(element, []))
            self._conditions[position] = self._builder.emit(relax.op.greater(scalar, relax.const(0.5, "float32")))
        return self._builder.emit(relax.op.where(self._conditions[position], compressed, plain), name_hint="selected")


def _is_call(value: relax.Expr, operator: str) -> bool:
    return (
        isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) and str(value.op.name) == f"relax.{operator}"
    )


def _fresh_name(main: relax.Function) -> str:
    taken = {*_names(main)}
    name = "switches"
    while name in taken:
        name += "_"
    return name


def _names(main: relax.Function) -> Iterator[str]:
    yield from (parameter.name for parameter in main.params)
    yield from (binding.var.name for binding in bindings_of(main))
