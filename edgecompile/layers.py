"""What a model is made of: its operators with their sizes and costs."""

from __future__ import annotations

import math
import re
from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm
    from tvm import relax

_SUMS = re.compile(r"_(sums|products)\d*")  # Relax numbers the names that come more than once


def sums_name(layer: str) -> str:
    """What the integer sums of a layer are called, so that reports show which layer a kernel computes."""
    return f"{layer}_sums"


def products_name(layer: str) -> str:
    """What the integer sums of a layer are called before its bias is added by an operator of its own."""
    return f"{layer}_products"


def layer_of(name: str, layers: Container[str]) -> str | None:
    """Which of the layers a variable of the lowered module computes, or the integer sums of which; None for others."""
    if name in layers:
        return name
    found = _SUMS.search(name)
    layer = name[: found.start()] if found and found.end() == len(name) else name
    return layer if layer in layers else None


@dataclass(frozen=True)
class Layer:
    """One operator call of a model.

    Attributes:
        name: as the frontend named its result.
        operator: of Relax, without its prefix, such as "nn.conv2d".
        output_shape: of its first result; a name stands for a dimension that is known at run time only.
        macs: multiply-accumulates, for convolutions and matrix products; 0 for all others, and where a shape is
            unknown.
        params: elements of the constants it reads.
        weight_bytes: bytes of the constants it reads.
    """

    name: str
    operator: str
    output_shape: tuple[int | str, ...]
    macs: int
    params: int
    weight_bytes: int


def layers_of(module: tvm.IRModule) -> list[Layer]:
    """The operator calls of `main`, in order of execution."""
    from tvm import relax

    body = module["main"].body
    if not isinstance(body, relax.SeqExpr):
        return []
    bindings = [binding for block in body.blocks for binding in block.bindings]
    return [
        _layer(binding.var.name, binding.value, binding.var.ty)
        for binding in bindings
        if isinstance(binding.value, relax.Call)
    ]


@dataclass(frozen=True)
class ConstantSize:
    """Elements and bytes of one constant."""

    elements: int
    bytes: int


def constants_of(module: tvm.IRModule) -> list[ConstantSize]:
    """The constants of `main`, each once however often it is read, in the order of their first use."""
    import tvm
    from tvm_ffi.structural import structural_walk

    found: dict[int, ConstantSize] = {}

    def visit(constant: tvm.ir.GenericConst) -> None:
        found.setdefault(constant.value.data_ptr(), _size(constant))

    structural_walk(module["main"].body, (tvm.ir.GenericConst, visit))
    return list(found.values())


def _size(constant: tvm.ir.GenericConst) -> ConstantSize:
    elements = math.prod(int(extent) for extent in constant.value.shape)
    return ConstantSize(elements, elements * -(-constant.value.dtype.bits // 8))


def _layer(name: str, call: relax.Call, type_: tvm.ir.Type) -> Layer:
    import tvm

    constants = [_size(argument) for argument in call.args if isinstance(argument, tvm.ir.GenericConst)]
    output = _shape(type_)
    return Layer(
        name=name,
        operator=_operator(call),
        output_shape=output,
        macs=_macs(call, output),
        params=sum(constant.elements for constant in constants),
        weight_bytes=sum(constant.bytes for constant in constants),
    )


def _operator(call: relax.Call) -> str:
    import tvm

    if not isinstance(call.op, tvm.ir.Op):
        return str(getattr(call.op, "name_hint", call.op))
    if call.op.name == "relax.call_tir":
        return str(call.args[0].name_hint)
    return str(call.op.name).removeprefix("relax.")


def _shape(type_: tvm.ir.Type) -> tuple[int | str, ...]:
    from tvm import relax, tirx

    while isinstance(type_, relax.TupleType):
        type_ = type_.fields[0]
    if not isinstance(type_, relax.TensorType) or not isinstance(type_.shape, relax.ShapeExpr):
        return ("?",)
    return tuple(int(dim) if isinstance(dim, tirx.IntImm) else str(dim) for dim in type_.shape.values)


def _macs(call: relax.Call, output: tuple[int | str, ...]) -> int:
    operator = _operator(call)
    if operator != "matmul" and not operator.startswith("nn.conv"):
        return 0
    data, weight = (_shape(argument.ty) for argument in call.args[:2])
    if not all(isinstance(extent, int) for extent in (*output, *data, *weight)):
        return 0
    if operator == "matmul":
        return _product(output) * int(data[-1])
    if operator.endswith("_transpose"):
        return _product(data) * _product(weight[1:])
    return _product(output) * _product(weight[1:])


def _product(shape: tuple[int | str, ...]) -> int:
    return math.prod(int(extent) for extent in shape)
