"""The inputs and outputs of a graph as Relax variables and as `TensorSpec`s."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import onnx
from tvm import relax, tirx

from edgecompile.errors import UnsupportedModelError
from edgecompile.frontend.model import TensorSpec
from edgecompile.frontend.onnx import dtypes, limits
from edgecompile.frontend.onnx.context import shape_of


def identifier(name: str, otherwise: str) -> str:
    """A C identifier that resembles `name`."""
    text = re.sub(r"[^0-9A-Za-z_]", "_", name)
    return (text if not text[:1].isdigit() else f"_{text}") or otherwise


def make_parameters(values: Sequence[onnx.ValueInfoProto]) -> tuple[dict[str, relax.Expr], tuple[TensorSpec, ...]]:
    """A Relax variable and a spec for each input; unknown dimensions of one name share a shape variable.

    Raises:
        UnsupportedModelError: an input that is not a tensor of known rank and supported dtype.
    """
    variables: dict[str, Any] = {}
    parameters: dict[str, relax.Expr] = {}
    specs = []
    for value in values:
        what = f"input '{value.name}'"
        if not value.type.HasField("tensor_type"):
            raise UnsupportedModelError(
                f"{what}: a dense tensor was needed, found a {value.type.WhichOneof('value') or 'value without a type'}"
            )
        dtype = dtypes.require_supported(value.type.tensor_type.elem_type, what)
        if not value.type.tensor_type.HasField("shape"):
            raise UnsupportedModelError(
                f"{what}: a known rank was needed, found no shape; give it (shapes={{name: ...}})"
            )
        dims: list[Any] = []
        names: list[int | str] = []
        for index, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_value"):
                dims.append(dim.dim_value)
                names.append(dim.dim_value)
            else:
                label = identifier(dim.dim_param, "") or f"{identifier(value.name, 'input')}_dim{index}"
                dims.append(variables.setdefault(label, tirx.Var(label, "int64")))
                names.append(label)
        limits.check_dimensions(value.name, [dim for dim in dims if isinstance(dim, int)])
        parameters[value.name] = relax.Var(identifier(value.name, "input"), relax.TensorType(dims, dtype))
        specs.append(TensorSpec(value.name, tuple(names), dtype))
    return parameters, tuple(specs)


def describe(name: str, value: relax.Expr) -> TensorSpec:
    """The spec of an output; a dimension that is only known at run time is given as an expression or a name."""
    dims = shape_of(value) if value.ty.shape is not None else tuple(f"{name}_dim{i}" for i in range(value.ty.ndim))
    return TensorSpec(name, tuple(dim if isinstance(dim, int) else str(dim) for dim in dims), str(value.ty.dtype))
