"""What the IR knows of a tensor's shape."""

from __future__ import annotations

import tvm
from tvm import relax

from edgecompile.implementation import Implementations

_BLOCKABLE = ("float32", "int8", "int32")


def static_shape(value: relax.Expr) -> tuple[int, ...] | None:
    """The extents of a tensor, or None where one is not known; rank and dtype may be any."""
    return static_shape_of_type(value.ty)


def static_shape_of_type(type_: tvm.ir.Type) -> tuple[int, ...] | None:
    """The same, by the tensor's type."""
    if not isinstance(type_, relax.TensorType) or not isinstance(type_.shape, relax.ShapeExpr):
        return None
    if not all(isinstance(extent, tvm.tirx.IntImm) for extent in type_.shape):
        return None
    return tuple(int(extent) for extent in type_.shape)


def image_shape(value: relax.Expr) -> tuple[int, int, int, int] | None:
    """`(N, C, H, W)` of a float32 tensor of four static dimensions."""
    return image_shape_of_type(value.ty)


def image_shape_of_type(type_: tvm.ir.Type) -> tuple[int, int, int, int] | None:
    """The same, by the tensor's type."""
    shape = blockable_shape_of_type(type_)
    return shape if shape is not None and str(type_.dtype) == "float32" else None


def blockable_shape(value: relax.Expr) -> tuple[int, int, int, int] | None:
    """`(N, C, H, W)` of a tensor that can be in blocks: four static dimensions of float32, int8 or int32."""
    return blockable_shape_of_type(value.ty)


def blockable_shape_of_type(type_: tvm.ir.Type) -> tuple[int, int, int, int] | None:
    """The same, by the tensor's type."""
    shape = static_shape_of_type(type_)
    if shape is None or len(shape) != 4 or min(shape) == 0 or str(type_.dtype) not in _BLOCKABLE:
        return None
    images, channels, height, width = shape
    return images, channels, height, width


def block_of(type_: tvm.ir.Type, implementations: Implementations) -> int | None:
    """How many channels lie side by side in a tensor of this type, as its kernels want it; None where it has none."""
    shape = blockable_shape_of_type(type_)
    if shape is None:
        return None
    is_float = str(type_.dtype) == "float32"
    return implementations.block(shape[1]) if is_float else implementations.integer_block(shape[1])
