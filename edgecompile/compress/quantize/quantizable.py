"""The layers of a model that a recipe can say something about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm
    from tvm import relax

    from edgecompile.frontend.model import Model

WEIGHTED_OPERATORS = (
    "matmul",
    "nn.conv1d",
    "nn.conv1d_transpose",
    "nn.conv2d",
    "nn.conv2d_transpose",
    "nn.conv3d",
)
"""Sums of products: what quantization is for."""

EMBEDDING_OPERATORS = ("take",)
"""Rows of a constant table: there is nothing to compute, but the table can be stored in fewer bits."""

DYNAMIC_OPERATORS = ("matmul",)
"""Those whose activations may get their scales at run time."""

ROW_OPERATORS = ("nn.layer_norm", "nn.softmax")
"""Those along rows that have a form in integer arithmetic alone; by default they stay float."""

OTHER_OPERATORS = (
    *ROW_OPERATORS,
    "add",
    "clip",
    "concat",
    "image.resize2d",
    "mean",
    "multiply",
    "nn.adaptive_avg_pool2d",
    "nn.avg_pool2d",
    "nn.gelu",
    "nn.gelu_tanh",
    "nn.leakyrelu",
    "nn.max_pool2d",
    "nn.relu",
    "nn.silu",
    "sigmoid",
    "tanh",
)
"""What can be computed between integer tensors; only their activations are quantized."""

_VIEWS = frozenset({"relax.permute_dims", "relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.astype"})


@dataclass(frozen=True)
class QuantizableLayer:
    """One operator call that can be computed in integers.

    Attributes:
        name: of the layer in the model; see `edgecompile.layers.Layer`.
        operator: of Relax, without its prefix, such as "nn.conv2d".
        weight_shape: of the constant weight, as the operator takes it; None where there is none.
    """

    name: str
    operator: str
    weight_shape: tuple[int, ...] | None = None


def quantizable_layers(model: Model) -> list[QuantizableLayer]:
    """The layers with one of the operators above on floating-point tensors, in order of execution.

    The addition of a constant is not among them: it is the bias of the layer before, and becomes part of its sum.
    """
    import tvm
    from tvm import relax

    body = model.module["main"].body
    if not isinstance(body, relax.SeqExpr):
        return []
    layers = []
    constants: dict[relax.Var, bool] = {}
    for binding in (binding for block in body.blocks for binding in block.bindings):
        call = binding.value
        if not isinstance(call, relax.Call) or not isinstance(call.op, tvm.ir.Op):
            continue
        if call.op.name in _VIEWS:
            constants[binding.var] = _is_constant(call.args[0], constants)
        layer = _layer(binding.var.name, call, constants)
        if layer is not None and _is_floating(binding.var.ty):
            layers.append(layer)
    return layers


def _layer(name: str, call: relax.Call, constants: dict[relax.Var, bool]) -> QuantizableLayer | None:
    operator = str(call.op.name).removeprefix("relax.")
    if operator in WEIGHTED_OPERATORS:
        weight = call.args[1]
        shape = _shape(weight.ty) if _is_constant(weight, constants) else None
        return QuantizableLayer(name, operator, shape)
    if operator in ROW_OPERATORS:
        return None if _is_constant(call.args[0], constants) else QuantizableLayer(name, operator)
    if operator in EMBEDDING_OPERATORS:
        return QuantizableLayer(name, operator, _shape(call.args[0].ty)) if _is_embedding(call, constants) else None
    if operator not in OTHER_OPERATORS or any(_is_constant(argument, constants) for argument in call.args):
        return None
    return QuantizableLayer(name, operator)


def _is_embedding(call: relax.Call, constants: dict[relax.Var, bool]) -> bool:
    """True where rows of a constant matrix are taken that are not known beforehand."""
    import tvm

    table, rows = call.args
    return (
        isinstance(table, tvm.ir.GenericConst)
        and len(table.ty.shape.values) == 2
        and not _is_constant(rows, constants)
        and call.attrs.axis is not None
        and int(call.attrs.axis) == 0
        and str(call.attrs.mode) == "clip"
    )


def _is_constant(expression: relax.Expr, constants: dict[relax.Var, bool]) -> bool:
    import tvm
    from tvm import relax

    if isinstance(expression, relax.Var):
        return constants.get(expression, False)
    return isinstance(expression, tvm.ir.GenericConst)


def _shape(type_: tvm.ir.Type) -> tuple[int, ...]:
    return tuple(int(extent) for extent in type_.shape.values)


def _is_floating(type_: tvm.ir.Type) -> bool:
    return "float" in str(getattr(type_, "dtype", ""))
