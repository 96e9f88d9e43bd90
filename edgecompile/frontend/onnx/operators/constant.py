"""Values that do not depend on data: Constant, ConstantOfShape, Shape, Size, EyeLike, Range, Identity, Dropout."""

from __future__ import annotations

import math

import numpy as np
from tvm import relax

from edgecompile.frontend.onnx import dtypes
from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, make_constant, shape_of
from edgecompile.frontend.onnx.emit import scalar
from edgecompile.frontend.onnx.fold import MAX_ELEMENTS
from edgecompile.frontend.onnx.limits import check_dimensions
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


@operator("Constant")
def constant(context: Context, node: Node, inputs: Inputs) -> Result:
    """The tensor or numbers in the node's attribute."""
    if "value" in node.attributes:
        array = node.tensor("value")
        assert array is not None
        return make_constant(array) if str(array.dtype) in dtypes.SUPPORTED else array
    if "value_float" in node.attributes:
        return make_constant(np.float32(node.floating("value_float")))
    if "value_int" in node.attributes:
        return make_constant(np.int64(node.integer("value_int")))
    if "value_floats" in node.attributes:
        return make_constant(np.array(node.floats("value_floats"), np.float32))
    if "value_ints" in node.attributes:
        return make_constant(np.array(node.integers("value_ints"), np.int64))
    raise node.unsupported(f"a tensor or numbers were needed, found {', '.join(node.attributes)}")


@operator("ConstantOfShape")
def constant_of_shape(context: Context, node: Node, inputs: Inputs) -> Result:
    """A tensor of the given shape filled with one value."""
    fill = node.tensor("value")
    element = np.zeros((), np.float32) if fill is None else fill.reshape(())
    dims = context.require_dims(node, 0)
    check_dimensions(node.name, [dim for dim in dims if isinstance(dim, int)])
    if all(isinstance(dim, int) for dim in dims) and math.prod(dims) <= MAX_ELEMENTS:
        return make_constant(np.full(dims, element, element.dtype))
    dtype = dtypes.require_supported(dtypes.element_type_of(str(element.dtype)), f"node '{node.name}'")
    return context.emit(relax.op.full(relax.ShapeExpr(dims), scalar(element.item(), dtype), dtype))


@operator("Shape")
def shape(context: Context, node: Node, inputs: Inputs) -> Result:
    """The dimensions from `start` to `end` as an int64 vector."""
    dims = list(shape_of(inputs[0]))
    end = node.integer("end", len(dims))
    return context.make_symbolic(_objects(dims[node.integer("start", 0) : end]))


@operator("Size")
def size(context: Context, node: Node, inputs: Inputs) -> Result:
    """The number of elements as an int64 scalar."""
    product = 1
    for dim in shape_of(inputs[0]):
        product = product * dim
    return context.make_symbolic(_objects([product]).reshape(()))


def _objects(entries: list[object]) -> np.ndarray:
    array = np.empty(len(entries), dtype=object)
    for index, entry in enumerate(entries):
        array[index] = entry
    return array


@operator("Identity")
def identity(context: Context, node: Node, inputs: Inputs) -> Result:
    """The same value."""
    return inputs[0]


@operator("Dropout")
def dropout(context: Context, node: Node, inputs: Inputs) -> Result:
    """Inference: the same value, and a mask that keeps all. Training mode draws random numbers and is refused."""
    if inputs[2] is not None and bool(context.require_constant(node, 2)):
        ratio = 0.5 if inputs[1] is None else float(context.require_constant(node, 1))
        if ratio != 0.0:
            raise node.unsupported("inference was needed, found training_mode; export the model in evaluation mode")
    dtype = "bool" if node.opset >= 10 else dtype_of(inputs[0])
    mask = None
    if node.has_output(1):
        mask = context.emit(relax.op.full(relax.ShapeExpr(shape_of(inputs[0])), scalar(1, dtype), dtype))
    return inputs[0], mask


@operator("EyeLike")
def eye_like(context: Context, node: Node, inputs: Inputs) -> Result:
    """Ones on diagonal `k` of a matrix shaped like the input."""
    rows, columns = context.require_static(node, inputs[0])
    dtype = (
        dtypes.require_supported(node.integer("dtype"), str(node))
        if "dtype" in node.attributes
        else dtype_of(inputs[0])
    )
    return make_constant(np.eye(rows, columns, node.integer("k", 0)).astype(np.dtype(dtype)))


@operator("Range")
def range_(context: Context, node: Node, inputs: Inputs) -> Result:
    """Numbers from start to limit; start and step may be expressions, the count must be known."""
    bounds = [context.dims(value) for value in inputs]
    if any(bound is None for bound in bounds):
        start, limit, delta = (context.require_constant(node, index) for index in range(3))
        return make_constant(np.arange(start.item(), limit.item(), delta.item()).astype(start.dtype))
    first, last, step = (bound[0] for bound in bounds if bound)
    if not isinstance(step, int) or step == 0:
        raise node.unsupported("a constant step other than 0 was needed")
    dtype = dtype_of(inputs[0])
    if isinstance(first, int) and isinstance(last, int):
        return make_constant(np.arange(first, last, step).astype(dtype))
    return context.emit(relax.op.arange(first, last, step, dtype))
