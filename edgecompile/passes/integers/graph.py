"""`Graph`: the old `main` to look things up in, and the new one that grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm_ffi.structural import structural_mutate, structural_walk

from edgecompile.integer.movements import MOVEMENTS, is_movement, moved
from edgecompile.passes.integers.quantized import Quantized, QuantizedRows, QuantizedWords, read_parameters

_OF_WHOLE_NUMBERS = ("max", "min", "nn.max_pool2d", "split")  # movements that bytes of words do not follow


class Graph:
    """One rewriting of `main`."""

    def __init__(self, main: relax.Function, builder: relax.BlockBuilder) -> None:
        self.builder = builder
        self._definitions: dict[relax.Var, relax.Expr] = {}
        self._uses: Counter[relax.Var] = Counter()
        self._new: dict[relax.Var, relax.Expr] = {parameter: parameter for parameter in main.params}
        self._signed: dict[relax.Var, relax.Expr] = {}
        self._moved: dict[relax.Var, Quantized | None] = {}
        self._words: dict[relax.Var, QuantizedWords | None] = {}
        for binding in main.body.blocks[0].bindings:
            self._definitions[binding.var] = binding.value
            self._count(binding.value)
        self._count(main.body.body)

    def _count(self, value: relax.Expr) -> None:
        def visit(variable: tvm.ir.Var) -> None:
            self._uses[variable] += 1

        structural_walk(value, (tvm.ir.Var, visit))

    def call(self, value: relax.Expr, *operators: str) -> relax.Call | None:
        """The call that defines a variable of the old `main`, where it is one of these Relax operators."""
        found = self.definition(value)
        if not isinstance(found, relax.Call) or not isinstance(found.op, tvm.ir.Op):
            return None
        return found if found.op.name.removeprefix("relax.") in operators else None

    def definition(self, value: relax.Expr) -> relax.Expr | None:
        """What the old `main` binds to a variable; None for its inputs and for constants."""
        return self._definitions.get(value) if isinstance(value, relax.Var) else None

    def is_used_once(self, value: relax.Expr) -> bool:
        """True where nothing else reads the variable."""
        return self._uses[value] == 1

    def emit(self, value: relax.Expr, name: str) -> relax.Var:
        """Bind a value in the new `main`."""
        return self.builder.emit(value, name_hint=name)

    def bind(self, old: relax.Var, new: relax.Expr) -> None:
        """The new value of a variable."""
        self._new[old] = new

    def keep_signed(self, old: relax.Var, value: relax.Expr) -> None:
        """The int8 form of a uint8 variable."""
        self._signed[old] = value

    def known_signed(self, old: relax.Expr) -> relax.Expr | None:
        """The int8 form of a uint8 variable, where something made it."""
        return self._signed.get(old) if isinstance(old, relax.Var) else None

    def renewed(self, value: relax.Expr) -> relax.Expr:
        """A value of the old `main` in the new one's variables."""

        def on_variable(variable: tvm.ir.Var, mutator: Any) -> relax.Expr:
            del mutator
            return self._new.get(variable, variable)

        return structural_mutate(value, ((tvm.ir.Var, on_variable),))

    def quantized(self, value: relax.Expr) -> Quantized | None:
        """What a float tensor is the dequantized form of; None where it is not."""
        movement = self.call(value, *MOVEMENTS)
        if movement is not None:
            return self._moved_form(value, movement)
        field = self.definition(value)
        if isinstance(field, relax.TupleGetItem):
            return self._field(value, field)
        call = self.call(value, "dequantize")
        if call is None:
            return None
        source = call.args[0]
        parameters = read_parameters(call, str(source.ty.dtype))
        if parameters is None or not parameters.is_usable:
            return None
        if isinstance(source, tvm.ir.GenericConst):
            return _constant(source.value.numpy(), parameters.scale, parameters.zero_point, parameters.axis)
        if parameters.scale.ndim:
            return None
        return Quantized(self.signed(source), parameters.scale, parameters.signed_zero_point, parameters.axis)

    def before_conversions(self, value: relax.Expr) -> relax.Expr:
        """What a tensor was before it was quantized and dequantized again, where its levels were those already."""
        while (call := self.call(value, "dequantize")) is not None:
            back = self.call(call.args[0], "quantize")
            source = self.quantized(back.args[0]) if back is not None else None
            found = self.quantized(value)
            if back is None or source is None or found is None or not source.is_same_grid(found):
                break
            value = back.args[0]
        return value

    def quantized_rows(self, value: relax.Expr) -> QuantizedRows | None:
        """`astype(int8, float32) * scales` as what it is made of, where each row has one scale; None for all else."""
        call = self.call(value, "multiply")
        wide = self.call(call.args[0], "astype") if call is not None else None
        if call is None or wide is None or str(wide.args[0].ty.dtype) != "int8":
            return None
        scales = call.args[1]
        rank = len(call.ty.shape.values)
        is_of_rows = len(scales.ty.shape.values) == rank >= 1 and int(scales.ty.shape.values[-1]) == 1
        if not is_of_rows or str(call.ty.dtype) != "float32" or not isinstance(wide.args[0], relax.Var):
            return None
        return QuantizedRows(self.renewed(wide.args[0]), self.renewed(scales))

    def quantized_words(self, value: relax.Expr) -> QuantizedWords | None:
        """What a float tensor is the dequantized int16 form of, perhaps moved; None where it is not."""
        if not isinstance(value, relax.Var):
            return None
        if value not in self._words:
            movement, call = self.call(value, *MOVEMENTS), self.call(value, "dequantize")
            if movement is not None:
                self._words[value] = self._moved_words(value, movement)
            else:
                self._words[value] = None if call is None else self._split(call)
        return self._words[value]

    def _split(self, call: relax.Call) -> QuantizedWords | None:
        source = call.args[0]
        parameters = read_parameters(call, str(source.ty.dtype)) if isinstance(source, relax.Var) else None
        if parameters is None or not parameters.is_words:
            return None
        x, name = self._new[source], source.name
        high = self.emit(relax.op.right_shift(x, relax.const(8, "int16")), f"{name}_shifted")
        low = self.emit(relax.op.bitwise_and(x, relax.const(255, "int16")), f"{name}_masked")
        signed = self.emit(relax.op.subtract(low, relax.const(128, "int16")), f"{name}_centred")
        upper = self.emit(relax.op.astype(high, "int8"), f"{name}_high")
        lower = self.emit(relax.op.astype(signed, "int8"), f"{name}_low")
        return QuantizedWords(upper, lower, float(parameters.scale))

    def _moved_words(self, variable: relax.Var, call: relax.Call) -> QuantizedWords | None:
        found = self.quantized_words(call.args[0])
        if found is None or not is_movement(call) or call.op.name.removeprefix("relax.") in _OF_WHOLE_NUMBERS:
            return None
        others = [self.renewed(argument) for argument in call.args[1:]]
        high, low = (
            self.emit(moved(call, [half, *others], found.scale, zero_point), f"{variable.name}_{part}")
            for half, zero_point, part in ((found.high, 0, "high"), (found.low, -128, "low"))
        )
        return QuantizedWords(high, low, found.scale)

    def _moved_form(self, variable: relax.Var, call: relax.Call) -> Quantized | None:
        """A movement of a dequantized tensor is the same movement of its integers."""
        if variable in self._moved:
            return self._moved[variable]
        found = self.quantized(call.args[0])
        if found is None:
            return None
        if isinstance(found.value, tvm.ir.GenericConst):
            return _transposed(found, call)
        if not found.is_per_tensor:
            return None
        arguments = [found.value, *(self.renewed(argument) for argument in call.args[1:])]
        movement = moved(call, arguments, float(found.scale), found.zero_point)
        if movement is None:
            self._moved[variable] = None
        else:
            integers = self.emit(movement, f"{variable.name}_integer")
            self._moved[variable] = Quantized(integers, found.scale, found.zero_point, 0)
        return self._moved[variable]

    def _field(self, variable: relax.Var, field: relax.TupleGetItem) -> Quantized | None:
        """One part of what is split."""
        split = self.call(field.tuple_value, "split")
        parts = self._moved_form(field.tuple_value, split) if split is not None else None
        if parts is None or isinstance(parts.value, tvm.ir.GenericConst):
            return None
        if variable not in self._moved:
            integers = self.emit(relax.TupleGetItem(parts.value, field.index), f"{variable.name}_integer")
            self._moved[variable] = Quantized(integers, parts.scale, parts.zero_point, 0)
        return self._moved[variable]

    def signed(self, variable: relax.Var) -> relax.Expr:
        """An int8 or uint8 variable as int8, in the new `main`; 128 is taken from uint8, once for all readers."""
        if str(variable.ty.dtype) == "int8":
            return self._new[variable]
        if variable not in self._signed:
            wide = relax.op.subtract(relax.op.astype(self._new[variable], "int32"), relax.const(128, "int32"))
            self._signed[variable] = self.emit(
                relax.op.astype(self.emit(wide, "wide"), "int8"), f"{variable.name}_signed"
            )
        return self._signed[variable]


def _constant(array: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int) -> Quantized:
    """int8 where the zero points are zero, otherwise int16 with them taken off."""
    zeros = zero_point.reshape(shape_along(axis, array.ndim)) if zero_point.ndim else zero_point
    values = array.astype(np.int64) - zeros
    fits = values.min(initial=0) >= -128 and values.max(initial=0) <= 127
    exact = values.astype(np.int8 if fits else np.int16)
    return Quantized(relax.const(exact, str(exact.dtype)), scale, 0, axis)


def _transposed(found: Quantized, call: relax.Call) -> Quantized | None:
    """Of a constant; other movements of constants are not met."""
    if call.op.name != "relax.permute_dims" or call.attrs.axes is None:
        return None
    axes = [int(axis) for axis in call.attrs.axes]
    array = np.ascontiguousarray(found.value.value.numpy().transpose(axes))
    return Quantized(relax.const(array, str(array.dtype)), found.scale, found.zero_point, axes.index(found.axis))


def shape_along(axis: int, rank: int) -> Sequence[int]:
    """The shape in which a vector broadcasts along an axis of a tensor."""
    return [-1 if position == axis else 1 for position in range(rank)]
