"""The ways of elementwise operators of one and of two operands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import tvm
from tvm import relax

from edgecompile.implementation import Implementations
from edgecompile.passes.layouts.blocked_tensors import block_constant
from edgecompile.passes.layouts.tensor_shapes import block_of, blockable_shape
from edgecompile.passes.layouts.way import PLAIN, Layout, Way, plain_way

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop

# One tensor in, one of its shape out; what else they take are numbers.
UNARY = frozenset(
    f"relax.{name}"
    for name in (
        *("abs", "ceil", "clip", "cos", "erf", "exp", "floor", "log", "negative", "round", "rsqrt", "sigmoid", "sign"),
        *("sin", "sqrt", "square", "tanh", "nn.gelu", "nn.gelu_tanh", "nn.leakyrelu", "nn.relu", "nn.silu", "astype"),
    )
)
BINARY = frozenset(f"relax.{name}" for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power"))


def unary_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """On plain or blocked tensors, at the same price."""
    x, shape = call.args[0], blockable_shape(call)
    plain = plain_way(call, joins=True)
    if shape is None or not isinstance(x, relax.Var) or blockable_shape(x) is None:
        return [plain]
    block = block_of(call.ty, implementations)
    if block is None or block != block_of(x.ty, implementations):
        return [plain]
    return [Way({x: block}, block, 0.0, partial(_build_unary, call, block), joins=True), plain]


def binary_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """On plain or blocked tensors, at the same price; one operand at least must have all channels."""
    shape, plain = blockable_shape(call), plain_way(call, joins=True)
    if shape is None:
        return [plain]
    channels = shape[1]
    block = block_of(call.ty, implementations)
    assert block is not None
    reads: dict[relax.Var, Layout] = {}
    for operand in call.args:
        layout = _operand_layout(operand, channels, block)
        if layout is None:
            return [plain]
        if isinstance(operand, relax.Var):
            reads[operand] = layout
    if block not in reads.values():
        return [plain]
    return [Way(reads, block, 0.0, partial(_build_binary, call, channels, block), joins=True), plain]


def _operand_layout(operand: relax.Expr, channels: int, block: int) -> Layout | None:
    """How a blocked operator needs an operand; None where it cannot take it."""
    if isinstance(operand, tvm.ir.GenericConst):
        return None if block_constant(operand.value.numpy(), channels, block) is None else PLAIN
    shape = blockable_shape(operand)
    if shape is None or not isinstance(operand, relax.Var) or shape[1] not in (1, channels):
        return None
    return block if shape[1] == channels else PLAIN


def _build_unary(call: relax.Call, block: int, workshop: Workshop) -> relax.Call:
    return relax.Call(call.op, [workshop.read(call.args[0], block), *call.args[1:]], call.attrs)


def _build_binary(call: relax.Call, channels: int, block: int, workshop: Workshop) -> relax.Call:
    operands = [_blocked_operand(operand, channels, block, workshop) for operand in call.args]
    return relax.Call(call.op, operands, call.attrs)


def _blocked_operand(operand: relax.Expr, channels: int, block: int, workshop: Workshop) -> relax.Expr:
    if isinstance(operand, tvm.ir.GenericConst):
        return relax.const(block_constant(operand.value.numpy(), channels, block), str(operand.ty.dtype))
    shape = blockable_shape(operand)
    assert shape is not None
    if shape[1] == channels:
        return workshop.read(operand, block)
    plain = workshop.read(operand, PLAIN)  # one channel: it broadcasts over the blocks too
    return workshop.emit(relax.op.reshape(plain, (*shape, 1)), f"{operand.name}_blocked")
