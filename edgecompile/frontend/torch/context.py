"""What a converter sees of the walk over the graph: its arguments by name, the builder, and dtype rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import tvm
from torch import fx
from tvm import relax, tirx

from edgecompile.errors import UnsupportedModelError
from edgecompile.frontend.torch.dtypes import relax_dtype

if TYPE_CHECKING:
    from edgecompile.frontend.torch.importer import GraphImporter


_HALF = ("float16", "bfloat16")


class Arguments:
    """The arguments of one node by their schema names, defaults filled in; `args.self`, `args.other`, ..."""

    def __init__(self, node: fx.Node, values: dict[str, Any]) -> None:
        self.node = node
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"{self.node.target} has no argument {name}") from None

    def get(self, name: str, default: Any = None) -> Any:
        """The argument, or `default` where this overload has none of that name."""
        return self._values.get(name, default)


class Context:
    """Builds the Relax bindings of the node at hand.

    Attributes:
        importer: keeps the values of earlier nodes in `env`.
        node: the node at hand.
        base: the name of the layer that the node belongs to; its result gets this name, helper values `base.<op>`.
    """

    def __init__(self, importer: GraphImporter, node: fx.Node, base: str) -> None:
        self.importer = importer
        self.node = node
        self.base = base

    def value(self, argument: Any) -> Any:
        """Replaces every node inside the argument by its Relax value."""
        if isinstance(argument, fx.Node):
            return self.importer.env[argument]
        if isinstance(argument, list | tuple):
            return [self.value(item) for item in argument]
        return argument

    def arguments(self) -> Arguments:
        """Binds the node's positional and keyword arguments to the operator's schema."""
        values: dict[str, Any] = {}
        for index, parameter in enumerate(self.node.target._schema.arguments):
            if index < len(self.node.args):
                values[parameter.name] = self.value(self.node.args[index])
            elif parameter.name in self.node.kwargs:
                values[parameter.name] = self.value(self.node.kwargs[parameter.name])
            else:
                values[parameter.name] = parameter.default_value if parameter.has_default_value() else None
        return Arguments(self.node, values)

    def emit(self, expression: relax.Expr) -> relax.Var:
        """Binds a helper value."""
        return self.importer.emit(expression)

    @property
    def dtype(self) -> str:
        """The dtype of the node's (first) result, as PyTorch computed it."""
        value = self.node.meta["val"]
        return relax_dtype((value[0] if isinstance(value, list | tuple) else value).dtype)

    def wide(self, value: relax.Expr | None) -> relax.Expr | None:
        """A half-precision tensor as float32, in which PyTorch accumulates; others, and None, as they are."""
        return self.tensor(value, "float32") if value is not None and dtype_of(value) in _HALF else value

    def narrow(self, value: relax.Expr) -> relax.Expr:
        """The counterpart of `wide`: the result in the node's dtype."""
        return self.tensor(self.emit(value), self.dtype) if self.dtype in _HALF else value

    @property
    def accumulator(self) -> str | None:
        """The `out_dtype` of a product whose result goes through `narrow`."""
        return "float32" if self.dtype in _HALF else None

    def tensor(self, value: Any, dtype: str | None = None) -> relax.Expr:
        """A tensor, Python number or symbolic integer as a Relax tensor of the dtype (tensors keep theirs if None)."""
        if isinstance(value, bool | int | float):
            assert dtype is not None
            return relax.const(np.asarray(value).astype(_numpy_dtype(dtype)), dtype)
        if tvm.ir.is_prim_expr(value) and not isinstance(getattr(value, "ty", None), relax.TensorType):
            return self._symbolic_scalar(value, dtype or "int64")
        if dtype is not None and dtype_of(value) != dtype:
            return self.emit(relax.op.astype(value, dtype))
        return value

    def promoted(self, *values: Any) -> str:
        """The dtype in which PyTorch combines the node's arguments of the given names."""
        operands = []
        for name in values:
            argument = self._raw(name)
            operands.append(argument.meta["val"] if isinstance(argument, fx.Node) else argument)
        dtype = torch.result_type(operands[0], operands[1])
        return relax_dtype(dtype)

    def refuse(self, reason: str, remedy: str) -> UnsupportedModelError:
        """The error for an operator that is known but not in this form."""
        return UnsupportedModelError(f"{self.node.target} (node {self.node.name}, {self.base}): {reason}; {remedy}")

    def _raw(self, name: str) -> Any:
        for index, parameter in enumerate(self.node.target._schema.arguments):
            if parameter.name == name:
                return self.node.args[index] if index < len(self.node.args) else self.node.kwargs[name]
        raise AssertionError(f"{self.node.target} has no argument {name}")

    def _symbolic_scalar(self, value: tirx.Expr, dtype: str) -> relax.Var:
        shape = self.emit(relax.op.shape_to_tensor(relax.ShapeExpr([value])))
        scalar = self.emit(relax.op.reshape(shape, []))
        return scalar if dtype == "int64" else self.emit(relax.op.astype(scalar, dtype))


def dtype_of(value: relax.Expr) -> str:
    """The dtype name of a Relax tensor."""
    return str(value.ty.dtype.dtype)


def shape_of(value: relax.Expr) -> list[Any]:
    """The shape of a Relax tensor; static dimensions as `int`."""
    return [int(dim) if isinstance(dim, tirx.IntImm) else dim for dim in value.ty.shape]


def is_float(dtype: str) -> bool:
    """True for the floating-point dtypes, bfloat16 among them."""
    return "float" in dtype


def normalize_dims(dims: Any, rank: int) -> list[int]:
    """`None`, one dimension or a list of them as non-negative dimensions; None and [] mean all."""
    if dims is None or (isinstance(dims, list | tuple) and not dims):
        return list(range(rank))
    return [dim % max(rank, 1) for dim in (dims if isinstance(dims, list | tuple) else [dims])]


def _numpy_dtype(dtype: str) -> Any:
    if dtype == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return dtype
