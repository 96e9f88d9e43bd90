"""Fixes what the user froze: dimensions of inputs, and whole inputs that become constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from edgecompile.errors import InvalidInputError, InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import dtypes
from edgecompile.frontend.onnx.limits import check_dimensions
from edgecompile.frontend.onnx.read import Source


def freeze(
    source: Source, shapes: Mapping[str, Sequence[int]], constants: Mapping[str, np.ndarray]
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model whose inputs are those that remain, in order, with `shapes` written in; and all constants by name.

    Raises:
        InvalidInputError: a name that is not an input, or a shape or dtype that contradicts the model.
    """
    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    inputs = {value.name: value for value in model.graph.input if value.name not in source.weights}
    for name in (*shapes, *constants):
        if name not in inputs:
            raise InvalidInputError(f"an input among {sorted(inputs)} was needed to freeze, found '{name}'")
    weights = dict(source.weights)
    for name, given in constants.items():
        weights[name] = _checked_constant(inputs[name], np.asarray(given))
    for name, shape in shapes.items():
        _write_shape(inputs[name], shape)
    kept = [value for value in inputs.values() if value.name not in constants]
    copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
    del model.graph.input[:]
    model.graph.input.extend(copies)
    return model, weights


def _checked_constant(value: onnx.ValueInfoProto, array: np.ndarray) -> np.ndarray:
    kind = value.type.tensor_type.elem_type
    if kind and dtypes.name_of(kind) != str(array.dtype) and array.dtype.kind not in "OUS":
        raise InvalidInputError(
            f"input '{value.name}': a frozen value of dtype {dtypes.name_of(kind)} was needed, found {array.dtype}"
        )
    dims = value.type.tensor_type.shape.dim
    known = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
    if value.type.tensor_type.HasField("shape") and not (
        len(known) == array.ndim and all(want in (None, have) for want, have in zip(known, array.shape, strict=True))
    ):
        raise InvalidInputError(
            f"input '{value.name}': a frozen value of shape {known} was needed, found {array.shape}"
        )
    return array


def _write_shape(value: onnx.ValueInfoProto, shape: Sequence[int]) -> None:
    if not value.type.HasField("tensor_type"):
        raise UnsupportedModelError(f"input '{value.name}': a tensor was needed to freeze its shape")
    sizes = [int(size) for size in shape]
    try:
        check_dimensions(value.name, sizes)
    except InvalidModelError as error:
        raise InvalidInputError(str(error)) from error
    tensor = value.type.tensor_type
    if tensor.HasField("shape"):
        known = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
        if len(known) != len(sizes) or any(have not in (None, size) for have, size in zip(known, sizes, strict=True)):
            raise InvalidInputError(
                f"input '{value.name}': a shape that fits {['?' if d is None else d for d in known]} was needed, "
                f"found {sizes}"
            )
    tensor.shape.CopyFrom(
        onnx.TensorShapeProto(dim=[onnx.TensorShapeProto.Dimension(dim_value=size) for size in sizes])
    )
