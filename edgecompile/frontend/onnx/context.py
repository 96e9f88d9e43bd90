"""`Context`: what an operator function may ask for and emit; and helpers over Relax values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
import tvm
from tvm import relax

from edgecompile.frontend.onnx.node import Node

if TYPE_CHECKING:
    from edgecompile.frontend.onnx.walker import Walker

Dim: TypeAlias = "int | tvm.ir.Expr"
# A list is an ONNX sequence of known length; None is left out; an array is a constant of a dtype that Relax cannot hold
# (int4, text), which only operators registered with `host_arrays=True` are given.
Value: TypeAlias = "relax.Expr | list[Value] | np.ndarray | None"
Result: TypeAlias = "Value | tuple[Value, ...]"


class Inputs(tuple):  # type: ignore[type-arg]
    """The values of a node's inputs; an index beyond the end gives None, as for an optional input left out."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and index >= len(self):
            return None
        return tuple.__getitem__(self, index)


def dtype_of(value: relax.Expr) -> str:
    """The NumPy name of a tensor's dtype."""
    return str(value.ty.dtype)


def rank_of(value: relax.Expr) -> int:
    """The number of dimensions."""
    return int(value.ty.ndim)


def shape_of(value: relax.Expr) -> tuple[Dim, ...]:
    """The dimensions: `int` where known, a `PrimExpr` where not."""
    return tuple(int(dim) if isinstance(dim, tvm.tirx.IntImm) else dim for dim in value.ty.shape)


def is_static(value: relax.Expr) -> bool:
    """True when every dimension is known."""
    return all(isinstance(dim, int) for dim in shape_of(value))


def is_float(dtype: str) -> bool:
    """True for float16, bfloat16, float32, float64."""
    return dtype.startswith(("float", "bfloat"))


def is_half(dtype: str) -> bool:
    """True for the floats of 16 bits."""
    return dtype in ("float16", "bfloat16")


def is_unsigned(dtype: str) -> bool:
    """True for uint8 to uint64."""
    return dtype.startswith("uint")


def make_constant(array: np.ndarray | np.generic) -> relax.Expr:
    """A Relax constant with exactly the shape and dtype of `array` (`relax.const` alone turns int64 into int32)."""
    contiguous = np.asarray(array, order="C")
    return relax.const(tvm.runtime.tensor(contiguous))


class Context:
    """The state of the import, as one node sees it.

    Attributes:
        bb: the block builder; prefer `emit`, which names the binding after the node.
        node: the node being converted.
    """

    def __init__(self, walker: Walker, scope: Mapping[str, Value], node: Node, opsets: Mapping[str, int]) -> None:
        self.bb: relax.BlockBuilder = walker.bb
        self.node = node
        self._walker = walker
        self._scope = scope
        self._opsets = opsets

    def emit(self, expr: relax.Expr) -> relax.Expr:
        """Binds `expr` to a variable named after the node and returns the variable, whose type is known."""
        return self.bb.emit(expr, name_hint=self._walker.hint(self.node))

    def emit_te(self, function: Callable[..., Any], *args: Any, name: str, **kwargs: Any) -> relax.Expr:
        """Binds a tensor expression over the given values; its PrimFunc is called `name`. -> a tensor, or a tuple."""
        call = self.bb.call_te(function, *args, primfunc_name_hint=name, **kwargs)
        return self.emit(call)

    def unpack(self, value: relax.Expr) -> tuple[relax.Expr, ...]:
        """The fields of a tuple-typed value, each bound to a variable."""
        return tuple(self.emit(relax.TupleGetItem(value, index)) for index in range(len(value.ty.fields)))

    def constant(self, value: Value) -> np.ndarray | None:
        """The array behind `value` where it is known at import, else None."""
        if isinstance(value, tvm.ir.GenericConst):
            return value.value.numpy()
        return value if isinstance(value, np.ndarray) else None

    def require_constant(self, node: Node, index: int) -> np.ndarray:
        """The array of the input at `index`; raises `UnsupportedModelError` when it is only known at run time."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        value = self._scope.get(name)
        array = self.constant(value)
        if array is None:
            raise node.unsupported(
                f"input {index} ('{name}') must be known at import, but is computed from the model's inputs; "
                "freeze the model input that it comes from, or its shape"
            )
        return array

    def dims(self, value: Value) -> list[Dim] | None:
        """The entries of a 0-D or 1-D integer tensor where each is a number or an expression of shape variables."""
        array = self.constant(value)
        if array is not None:
            return [int(entry) for entry in array.reshape(-1)] if array.dtype.kind in "iu" else None
        known = self._walker.symbolic(value)
        return None if known is None else list(known.reshape(-1))

    def require_dims(self, node: Node, index: int) -> list[Dim]:
        """As `dims`, for the input at `index`; raises `UnsupportedModelError` when an entry is not known."""
        known = self.dims(self._scope.get(node.inputs[index]) if index < len(node.inputs) else None)
        return list(self.require_constant(node, index)) if known is None else known

    def require_static(self, node: Node, value: relax.Expr) -> tuple[int, ...]:
        """The shape of `value`; raises `UnsupportedModelError` when a dimension is not known at import."""
        shape = shape_of(value)
        if not all(isinstance(dim, int) for dim in shape):
            raise node.unsupported(
                f"a static shape is needed, found [{', '.join(map(str, shape))}]; give the inputs' shapes"
            )
        return shape

    def make_symbolic(self, entries: np.ndarray) -> relax.Expr:
        """An int64 tensor (0-D or 1-D) whose entries may be expressions of shape variables. -> a value."""
        return self._walker.make_symbolic(entries, self.node)

    def convert_graph(self, graph: onnx.GraphProto, arguments: Sequence[Value]) -> list[Value]:
        """Converts a subgraph in place, its inputs bound to `arguments`, outer values visible. -> its outputs."""
        return self._walker.convert_subgraph(graph, arguments, self._scope, self._opsets)

    def convert_node(self, op_type: str, inputs: Sequence[Value], **attributes: Any) -> tuple[Value, ...]:
        """Converts another node of ONNX's own domain on `inputs`, at this node's opset. -> its outputs."""
        return self._walker.convert_inner(self.node, op_type, inputs, attributes, self._opsets)
