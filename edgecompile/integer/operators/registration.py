"""The integer operators in TVM's registry: `FInferType` answers the type of a call, `FLegalize` its loops."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import tvm
from tvm import relax

from edgecompile.integer import dynamic, formulas
from edgecompile.integer.layer_norm import layer_norm as layer_norm_formula
from edgecompile.integer.operators.names import (
    ADD,
    CONV2D,
    LAYER_NORM,
    LOOKUP,
    MATMUL,
    MULTIPLY,
    QUANTIZE_ROWS,
    REQUANTIZE,
    RESAMPLE,
    SOFTMAX,
    attributes,
    shape_of,
)
from edgecompile.integer.operators.types import TYPES
from edgecompile.integer.softmax import softmax as softmax_formula
from edgecompile.passes.annotate_elementwise import ELEMENTWISE

if TYPE_CHECKING:
    from tvm import te

    from edgecompile.integer.formulas.elementwise import Channel

Formula: TypeAlias = "Callable[..., te.Tensor | Sequence[te.Tensor]]"


def is_elementwise(call: relax.Call) -> bool:
    """True where each element comes from the same element of each tensor, and from tables: no tensor broadcasts.

    A constant with one number for each index of the last axis, a bias of bytes, is a table too.
    """
    if call.op.name not in (REQUANTIZE, ADD, MULTIPLY, LOOKUP):
        return False
    operands = call.args[:2] if call.op.name in (ADD, MULTIPLY) else call.args[:1]
    whole = [operand for operand in operands if not _is_table(operand, call)]
    return bool(whole) and {shape_of(operand) for operand in whole} == {shape_of(call)}


def _is_table(operand: relax.Expr, call: relax.Call) -> bool:
    """True for a constant of the extent of the last axis, and of 1 elsewhere."""
    if not isinstance(operand, tvm.ir.GenericConst) or not operand.value.shape or not shape_of(call):
        return False
    return math.prod(shape_of(operand)) == shape_of(operand)[-1] == shape_of(call)[-1]


def formula(call: relax.Call, channel: Channel | None = None) -> Formula:
    """The call's formula, of its arguments as tensors; `channel` where elements lie in blocks."""
    return _FORMULAS[call.op.name](attributes(call), channel)


def _requantize_formula(numbers: dict[str, Any], channel: Channel | None) -> Callable[..., te.Tensor]:
    axis, is_short, is_narrow = numbers.pop("axis"), bool(numbers.pop("is_short")), bool(numbers.pop("is_narrow"))
    place = channel or formulas.channel_of_axis(axis)
    return functools.partial(formulas.requantize, channel=place, is_short=is_short, is_narrow=is_narrow, **numbers)


_FORMULAS: Mapping[str, Callable[[dict[str, Any], Channel | None], Formula]] = {
    CONV2D: lambda numbers, channel: functools.partial(formulas.convolve, **numbers),
    MATMUL: lambda numbers, channel: functools.partial(formulas.multiply, **numbers),
    REQUANTIZE: _requantize_formula,
    ADD: lambda numbers, channel: functools.partial(formulas.add, **numbers),
    MULTIPLY: lambda numbers, channel: functools.partial(formulas.multiply_elements, **numbers),
    RESAMPLE: lambda numbers, channel: functools.partial(formulas.resample, **numbers),
    LOOKUP: lambda numbers, channel: formulas.lookup,
    QUANTIZE_ROWS: lambda numbers, channel: functools.partial(dynamic.quantize_rows, **numbers),
    SOFTMAX: lambda numbers, channel: functools.partial(softmax_formula, **numbers),
    LAYER_NORM: lambda numbers, channel: functools.partial(layer_norm_formula, **numbers),
}


@functools.cache
def register() -> None:
    """Make the operators known to TVM; done by their calls, and needed before a module that has them is read."""
    for name, infer in TYPES.items():
        tvm.ir.register_op_attr(name, "FInferType", infer)
        tvm.ir.register_op_attr(name, "FPurity", True)
        tvm.ir.register_op_attr(name, "FLegalize", _legalize)


def _legalize(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    name = call.op.name.replace("edgecompile.", "integer_")
    attrs = {ELEMENTWISE: 1} if is_elementwise(call) else None
    return builder.call_te(formula(call), *call.args, primfunc_name_hint=name, primfunc_attrs=attrs)
