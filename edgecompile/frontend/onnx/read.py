"""Reads an ONNX model from a path, bytes or a `ModelProto`, checks it, and takes its weights out of the protobuf."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import limits, wire
from edgecompile.frontend.onnx.external_data import is_external, read_external
from edgecompile.frontend.weights import refuse_nan
from edgecompile.settings import LIMITS


@dataclass(frozen=True)
class Source:
    """A checked model.

    Attributes:
        model: without initializers in its main graph, which keeps every later copy of the protobuf small. It belongs to
            this object alone: a caller's `ModelProto` is never changed.
        weights: the initializers of the main graph by name.
        stem: the file's name without its ending; "" when the model came from memory.
    """

    model: onnx.ModelProto
    weights: dict[str, np.ndarray]
    stem: str


def read(source: str | os.PathLike[str] | bytes | onnx.ModelProto) -> Source:
    """The checked model of `source`; refuses what is not a model, or not safe to work on.

    Raises:
        InvalidModelError: no such file, not ONNX, truncated, malformed, beyond the limits, unsafe external data,
            weights that hold NaN.
        UnsupportedModelError: opsets and dtypes that cannot be imported.
    """
    folder, stem = None, ""
    if isinstance(source, onnx.ModelProto):
        model = source
    elif isinstance(source, (bytes, bytearray, memoryview)):
        model = _parse(bytes(source), "the given bytes")
    else:
        path = Path(source)
        model = _parse(_read_file(path), f"'{path}'")
        folder, stem = path.absolute().parent, path.stem
    limits.check_model(model)
    slim = _without_weights(model)
    for tensor in limits.attribute_tensors(slim.graph.node):
        if is_external(tensor):
            _embed(tensor, folder)
    for function in slim.functions:
        if any(is_external(tensor) for tensor in limits.attribute_tensors(function.node)):
            raise InvalidModelError(
                f"function '{function.name}': tensors inside the model were needed, found external ones"
            )
    weights = {}
    for tensor in model.graph.initializer:
        if not tensor.name or tensor.name in weights:
            raise InvalidModelError(
                f"initializers with names of their own were needed, found '{tensor.name}' twice or empty"
            )
        weights[tensor.name] = read_external(tensor, folder) if is_external(tensor) else _to_array(tensor)
    _check_standard(slim, weights)
    refuse_nan(weights)
    return Source(slim, weights, stem)


def _read_file(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InvalidModelError(f"an ONNX file was needed, found the folder '{path}'; name the file inside it")
        if not path.is_file():
            raise InvalidModelError(f"an ONNX file was needed, found '{path}', which is not a regular file")
        if size == 0:
            raise InvalidModelError(f"an ONNX model was needed, found the empty file '{path}'; export or copy it again")
        if size > LIMITS.model_file_bytes:
            raise InvalidModelError(
                f"'{path}': at most {LIMITS.model_file_bytes} bytes were expected, found {size}; "
                "save the weights as external data"
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidModelError(f"an ONNX file was needed, found '{path}', which cannot be read ({error})") from error


def _parse(data: bytes, what: str) -> onnx.ModelProto:
    wire.check_counts(data, what)
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise InvalidModelError(f"an ONNX model was needed, found {what}, which is not one or is cut off") from error
    if model.ir_version <= 0 or not model.HasField("graph"):
        raise InvalidModelError(f"an ONNX model was needed, found {what}, which has no IR version or no graph")
    return model


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` whose main graph has no initializers; copying field by field never doubles the weights."""
    slim = onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        opset_import=model.opset_import,
        functions=model.functions,
    )
    graph = model.graph
    if graph.sparse_initializer:
        raise UnsupportedModelError(
            "dense weights were needed, found sparse initializers; export them as dense tensors"
        )
    slim.graph.name = graph.name or "graph"
    slim.graph.node.extend(graph.node)
    slim.graph.input.extend(graph.input)
    slim.graph.output.extend(graph.output)
    return slim


def _embed(tensor: onnx.TensorProto, folder: Path | None) -> None:
    array = read_external(tensor, folder)
    name = tensor.name
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, name))


def _to_array(tensor: onnx.TensorProto) -> np.ndarray:
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidModelError(
            f"tensor '{tensor.name}': data that fills its shape was needed, found {error}"
        ) from error


def _check_standard(slim: onnx.ModelProto, weights: dict[str, np.ndarray]) -> None:
    """Runs ONNX's own checker, the weights standing in as inputs; our limits come first, so it cannot overflow."""
    checked = onnx.ModelProto()
    checked.CopyFrom(slim)
    present = {value.name for value in checked.graph.input}
    for name, array in weights.items():
        if name not in present:
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            checked.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, array.shape))
    for value in (*checked.graph.input, *checked.graph.output):
        if value.type.HasField("tensor_type"):  # exporters leave unknown ranks out, which the checker alone minds
            value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(checked)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        found = " ".join(lines)[:300] or "no reason"
        raise InvalidModelError(f"a model that follows the ONNX specification was needed, found: {found}") from error
