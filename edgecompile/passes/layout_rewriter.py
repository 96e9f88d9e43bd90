"""The IR walk behind `PlanLayouts`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm_ffi.structural import structural_mutate

from edgecompile.convolution import Convolution
from edgecompile.decision import Decision
from edgecompile.implementation import Implementation, Implementations
from edgecompile.passes.blocked_tensors import block_constant, from_blocks, is_reshape, to_blocks

# One tensor in, one of its shape out; what else they take are numbers.
_UNARY = frozenset(
    f"relax.{name}"
    for name in (
        *("abs", "ceil", "clip", "cos", "erf", "exp", "floor", "log", "negative", "round", "rsqrt", "sigmoid", "sign"),
        *("sin", "sqrt", "square", "tanh", "nn.gelu", "nn.gelu_tanh", "nn.leakyrelu", "nn.relu", "nn.silu"),
    )
)
_BINARY = frozenset(
    f"relax.{name}" for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power")
)
_POOLS = frozenset(("relax.nn.max_pool2d", "relax.nn.avg_pool2d"))
_GLOBAL_POOLS = frozenset(("relax.nn.adaptive_avg_pool2d", "relax.nn.adaptive_max_pool2d"))
_ELEMENTWISE_OUTPUT, _OPAQUE = 4, 8  # OpPatternKind: other kernels may join behind it; nothing may


def why_not_rewritable(main: relax.Function) -> str | None:
    """The reason why `main` is no straight list of dataflow bindings, or None."""
    if not isinstance(main.body, relax.SeqExpr):
        return "main is no list of bindings"
    if len(main.body.blocks) != 1 or not isinstance(main.body.blocks[0], relax.DataflowBlock):
        return "main has more than one block of dataflow"
    if not all(isinstance(binding, relax.VarBinding) for binding in main.body.blocks[0].bindings):
        return "shapes are checked at run time"
    return None


class LayoutRewriter:
    """Builds a new `main` in order; each tensor is known plain, in blocks, or both."""

    def __init__(
        self, module: tvm.IRModule, implementations: Implementations, step: str, decisions: list[Decision]
    ) -> None:
        self.main = module["main"]
        self.others = {v: f for v, f in module.functions_items() if v.name_hint != "main"}
        self.builder = relax.BlockBuilder(tvm.IRModule(self.others))
        self.attributes = module.attrs
        self.implementations = implementations
        self.step = step
        self.decisions = decisions
        self.plain: dict[relax.Var, relax.Expr] = {}
        self.blocked: dict[relax.Var, relax.Var] = {}

    def rewrite(self) -> tvm.IRModule:
        """The module with the new `main` and the kernels that it calls."""
        main, builder = self.main, self.builder
        self.plain = {parameter: parameter for parameter in main.params}
        with builder.function("main", list(main.params), attrs=dict(main.attrs) if main.attrs else None):
            with builder.dataflow():
                for binding in main.body.blocks[0].bindings:
                    self._rewrite(binding.var, binding.value)
                output = builder.emit_output(self._substituted(main.body.body))
            builder.emit_func_output(output)
        module = builder.get()
        return module.with_attrs(dict(self.attributes)) if self.attributes else module

    def _rewrite(self, variable: relax.Var, value: relax.Expr) -> None:
        blocked = self._in_blocks(variable, value) if isinstance(value, relax.Call) else None
        if blocked is not None:
            self.blocked[variable] = self.builder.emit(blocked, name_hint=variable.name)
            return
        plain = self._product(variable, value) if isinstance(value, relax.Call) else None
        plain = self._substituted(value) if plain is None else plain
        self.plain[variable] = self.builder.emit(plain, name_hint=variable.name)

    def _substituted(self, value: relax.Expr) -> relax.Expr:
        """`value` with the new plain tensors in place of the old variables."""

        def on_variable(variable: tvm.ir.Var, mutator: Any) -> relax.Expr:
            del mutator
            known = variable in self.plain or variable in self.blocked
            return self._as_plain(variable) if known else variable

        return structural_mutate(value, ((tvm.ir.Var, on_variable),))

    def _as_plain(self, variable: relax.Var) -> relax.Expr:
        if variable not in self.plain:
            shape = static_shape(variable)
            assert shape is not None
            blocked = self.blocked[variable]
            name = f"{variable.name}_plain"
            if is_reshape(shape, int(blocked.ty.shape[4])):
                self.plain[variable] = self.builder.emit(relax.op.reshape(blocked, shape), name_hint=name)
            else:
                self.plain[variable] = self._emit_kernel("from_blocks", _OPAQUE, from_blocks, [blocked], name)
        return self.plain[variable]

    def _as_blocks(self, variable: relax.Var, block: int) -> relax.Var:
        if variable not in self.blocked:
            images, channels, height, width = static_shape(variable) or ()
            name = f"{variable.name}_blocked"
            plain = self.plain[variable]
            if is_reshape((images, channels, height, width), block):
                shape = (images, channels // block, height, width, block)
                self.blocked[variable] = self.builder.emit(relax.op.reshape(plain, shape), name_hint=name)
            else:
                self.blocked[variable] = self._emit_kernel(
                    "to_blocks", _OPAQUE, lambda x: to_blocks(x, block), [plain], name
                )
        return self.blocked[variable]

    def _emit_kernel(self, name: str, pattern: int, formula: Any, arguments: Sequence[relax.Expr], hint: str) -> Any:
        return self.builder.emit(self._kernel(name, pattern, formula, arguments), name_hint=hint)

    def _kernel(self, name: str, pattern: int, formula: Any, arguments: Sequence[relax.Expr]) -> relax.Call:
        """A call of the formula's loops; equal loops are one function."""
        workshop = relax.BlockBuilder()
        call = workshop.call_te(formula, *arguments)
        function = workshop.get()[call.args[0]].with_attr("op_pattern", pattern)
        return relax.call_tir(self.builder.add_func(function, name), call.args[1], call.ty_args[0])

    def _in_blocks(self, variable: relax.Var, call: relax.Call) -> relax.Expr | None:
        """The call on blocked tensors, or None where it stays plain."""
        if not isinstance(call.op, tvm.ir.Op):
            return None
        name = call.op.name
        if name == "relax.nn.conv2d":
            return self._convolution(variable, call)
        if static_shape(variable) is None:
            return None
        if name in _UNARY and call.args[0] in self.blocked:
            return relax.Call(call.op, [self.blocked[call.args[0]], *call.args[1:]], call.attrs)
        if name in _BINARY and any(argument in self.blocked for argument in call.args):
            return self._binary(variable, call)
        if name in _POOLS and call.args[0] in self.blocked:
            return self._pool(call)
        if name in _GLOBAL_POOLS and call.args[0] in self.blocked and call.attrs.layout == "NCHW":
            blocked = self.blocked[call.args[0]]
            layout = f"NCHW{int(blocked.ty.shape[4])}c"
            size = [int(extent) for extent in call.attrs.output_size] if call.attrs.output_size else None
            make = getattr(relax.op.nn, name.removeprefix("relax.nn."))
            return make(blocked, size, layout, layout)
        if name == "relax.mean" and call.args[0] in self.blocked and call.attrs.keepdims:
            axes = {int(axis) % 4 for axis in call.attrs.axis} if call.attrs.axis else set()
            return relax.op.mean(self.blocked[call.args[0]], [2, 3], keepdims=True) if axes == {2, 3} else None
        return None

    def _convolution(self, variable: relax.Var, call: relax.Call) -> relax.Expr | None:
        problem = read_convolution(call)
        if isinstance(problem, str):
            self._record(variable, False, problem)
            return None
        x, weight = call.args
        direct = x not in self.blocked and problem.in_channels <= 4
        block = self.implementations.block(problem.in_channels)
        ways = self.implementations.convolutions(problem, None if direct else block)
        if not ways:
            self._record(variable, False, "no template takes it")
            return None
        source = self.plain[x] if direct else self._as_blocks(x, block)
        return self._implemented(variable, ways, source, weight.value.numpy())

    def _product(self, variable: relax.Var, call: relax.Call) -> relax.Expr | None:
        if not isinstance(call.op, tvm.ir.Op) or call.op.name != "relax.matmul":
            return None
        if is_batched_product(call):
            return self._batched_product(variable, call)
        problem = read_product(call)
        if isinstance(problem, str):
            self._record(variable, False, problem)
            return None
        shape = static_shape(call.args[0]) or ()
        ways = self.implementations.products(shape[:-1], problem)
        if not ways:
            return None
        weight = call.args[1].value.numpy().T[:, :, None, None]
        return self._implemented(variable, ways, self._as_plain(call.args[0]), weight)

    def _batched_product(self, variable: relax.Var, call: relax.Call) -> relax.Expr | None:
        (*_, rows, inner), columns = static_shape(call.args[0]) or (), (static_shape(call.args[1]) or ())[-1]
        ways = self.implementations.batched_products(rows, inner, columns)
        if not ways:
            return None
        way = self._cheapest(variable, ways)
        operands = [self._substituted(argument) for argument in call.args]
        return self._kernel(way.name.split()[0], _ELEMENTWISE_OUTPUT, way.compute, operands)

    def _cheapest(self, variable: relax.Var, ways: Sequence[Implementation]) -> Implementation:
        way = min(ways, key=lambda way: way.cycles)
        others = ", ".join(f"{w.name} {w.cycles / 1e3:.0f}k" for w in ways if w is not way)
        reason = f"{way.name}, {way.cycles / 1e3:.0f}k cycles estimated" + (f" (others: {others})" if others else "")
        self._record(variable, True, reason)
        return way

    def _implemented(
        self, variable: relax.Var, ways: Sequence[Implementation], source: relax.Expr, weight: np.ndarray
    ) -> relax.Call:
        way = self._cheapest(variable, ways)
        constants = [relax.const(array) for array in way.pack(weight)]
        return self._kernel(way.name.split()[0], _ELEMENTWISE_OUTPUT, way.compute, [source, *constants])

    def _binary(self, variable: relax.Var, call: relax.Call) -> relax.Expr | None:
        shape = static_shape(variable) or ()
        if len(shape) != 4:
            return None
        channels = shape[1]
        block = next(
            (int(self.blocked[a].ty.shape[4]) for a in call.args if a in self.blocked and _channels(a) == channels),
            None,
        )
        if block is None:
            return None
        arguments: list[relax.Expr] = []
        for argument in call.args:
            other = self._operand(argument, channels, block)
            if other is None:
                return None
            arguments.append(other)
        return relax.Call(call.op, arguments, call.attrs)

    def _operand(self, argument: relax.Expr, channels: int, block: int) -> relax.Expr | None:
        if isinstance(argument, tvm.ir.GenericConst):
            array = block_constant(argument.value.numpy(), channels, block)
            return None if array is None else relax.const(array, str(argument.ty.dtype))
        shape = static_shape(argument)
        if shape is None or len(shape) != 4:
            return None
        if shape[1] == channels:
            return self._as_blocks(argument, block)
        if shape[1] == 1:
            plain = self._as_plain(argument)
            return self.builder.emit(relax.op.reshape(plain, (*shape, 1)), name_hint=f"{argument.name}_blocked")
        return None

    def _pool(self, call: relax.Call) -> relax.Expr | None:
        attributes = call.attrs
        if attributes.layout != "NCHW":
            return None
        blocked = self.blocked[call.args[0]]
        layout = f"NCHW{int(blocked.ty.shape[4])}c"
        make = getattr(relax.op.nn, call.op.name.removeprefix("relax.nn."))
        numbers = [
            tuple(int(number) for number in getattr(attributes, name))
            for name in ("pool_size", "strides", "padding", "dilation")
        ]
        return make(blocked, *numbers, bool(attributes.ceil_mode), bool(attributes.count_include_pad), layout, layout)

    def _record(self, variable: relax.Var, kept: bool, reason: str) -> None:
        self.decisions.append(Decision(self.step, variable.name, kept, reason))


def read_convolution(call: relax.Call) -> Convolution | str:
    """The numbers of a convolution with a known weight, or why it has none."""
    attributes = call.attrs
    if attributes.data_layout != "NCHW" or attributes.kernel_layout != "OIHW":
        return f"its layouts are {attributes.data_layout} and {attributes.kernel_layout}"
    x, weight = call.args
    if not isinstance(weight, tvm.ir.GenericConst):
        return "its weight is computed at run time"
    shape = static_shape(x)
    if shape is None or str(x.ty.dtype) != "float32" or str(call.ty.dtype) != "float32":
        return "it is not float32 of static shape"
    kernel = [int(extent) for extent in weight.value.shape]
    top, left, bottom, right = (int(pixels) for pixels in attributes.padding)
    return Convolution(
        batch=shape[0],
        in_channels=shape[1],
        out_channels=kernel[0],
        height=shape[2],
        width=shape[3],
        kernel=(kernel[2], kernel[3]),
        strides=tuple(int(n) for n in attributes.strides),  # type: ignore[arg-type]
        padding=(top, left, bottom, right),
        dilations=tuple(int(n) for n in attributes.dilation),  # type: ignore[arg-type]
        groups=int(attributes.groups),
    )


def read_product(call: relax.Call) -> Convolution | str:
    """`x @ w` with a known matrix w as a 1x1 convolution over the rows of x, or why it is none."""
    x, weight = call.args
    if not isinstance(weight, tvm.ir.GenericConst) or len(weight.value.shape) != 2:
        return "its right side is no known matrix"
    shape = static_shape(x)
    if shape is None or len(shape) < 2 or str(x.ty.dtype) != "float32" or str(call.ty.dtype) != "float32":
        return "it is not float32 of static shape"
    rows = math.prod(shape[:-1])
    return Convolution(batch=1, in_channels=shape[-1], out_channels=int(weight.value.shape[1]), height=1, width=rows)


def is_batched_product(call: relax.Call) -> bool:
    """True for `a @ w` of float32 where both have the same batch dimensions, at least one, and neither is a matrix."""
    shapes = [static_shape(argument) for argument in call.args]
    first, second = shapes
    if first is None or second is None or len(first) < 3 or first[:-2] != second[:-2] or min(first + second) == 0:
        return False
    return all(str(value.ty.dtype) == "float32" for value in (*call.args, call))


def static_shape(value: relax.Expr) -> tuple[int, ...] | None:
    """The extents of a tensor, or None where one is not known; rank and dtype may be any."""
    type_ = value.ty
    if not isinstance(type_, relax.TensorType) or not isinstance(type_.shape, relax.ShapeExpr):
        return None
    if not all(isinstance(extent, tvm.tirx.IntImm) for extent in type_.shape):
        return None
    return tuple(int(extent) for extent in type_.shape)


def _channels(value: relax.Expr) -> int | None:
    shape = static_shape(value)
    return shape[1] if shape is not None and len(shape) == 4 else None
