"""`Node`: one ONNX node with its attributes parsed, as operator functions see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import onnx

from edgecompile.errors import InvalidModelError, UnsupportedModelError

if TYPE_CHECKING:
    import numpy as np

Attribute: TypeAlias = (
    "int | float | bytes | list[int] | list[float] | list[bytes] | onnx.TensorProto | onnx.GraphProto"
    " | list[onnx.TensorProto] | list[onnx.GraphProto]"
)


@dataclass(frozen=True)
class Node:
    """One ONNX node.

    Attributes:
        op_type: the operator, such as "Conv".
        domain: "" is ONNX's own.
        name: the node's name, or the name of its first output where it has none.
        opset: the version of the operator set of `domain` that the model (or the enclosing function) asks for.
        inputs: value names; "" marks an optional input left out.
        outputs: value names; "" marks an optional output left out.
        attributes: by name, as Python values; strings are bytes.
        proto: the node itself, function attributes already substituted.
    """

    op_type: str
    domain: str
    name: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    proto: onnx.NodeProto = field(repr=False, compare=False)

    @classmethod
    def parse(cls, proto: onnx.NodeProto, opset: int) -> Node:
        """Reads `proto`; raises `InvalidModelError` when an attribute cannot be read."""
        name = proto.name or next((output for output in proto.output if output), proto.op_type)
        try:
            attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in proto.attribute}
        except (ValueError, TypeError) as error:
            raise InvalidModelError(
                f"node '{name}' ({proto.op_type}): an attribute of a known type was needed, found {error}; "
                "export the model again"
            ) from error
        return cls(
            proto.op_type,
            "" if proto.domain == "ai.onnx" else proto.domain,
            name,
            opset,
            tuple(proto.input),
            tuple(proto.output),
            attributes,
            proto,
        )

    def __str__(self) -> str:
        prefix = f"{self.domain}." if self.domain else ""
        return f"node '{self.name}' ({prefix}{self.op_type}-{self.opset})"

    def unsupported(self, reason: str) -> UnsupportedModelError:
        """An error to raise: the node is valid, but cannot be imported because of `reason`."""
        return UnsupportedModelError(f"{self}: {reason}")

    def invalid(self, reason: str) -> InvalidModelError:
        """An error to raise: the node breaks the rules of ONNX as `reason` says."""
        return InvalidModelError(f"{self}: {reason}; mend or export the model again")

    def has_output(self, index: int) -> bool:
        """True when the model uses the output at `index`."""
        return index < len(self.outputs) and self.outputs[index] != ""

    def integer(self, name: str, default: int | None = None) -> int:
        """The attribute `name` as an int; without a default it is required."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise self.invalid(f"attribute '{name}' must be an integer, found {value!r}")
        return value

    def floating(self, name: str, default: float | None = None) -> float:
        """The attribute `name` as a float; without a default it is required."""
        value = self.attributes.get(name, default)
        if not isinstance(value, (int, float)):
            raise self.invalid(f"attribute '{name}' must be a float, found {value!r}")
        return float(value)

    def string(self, name: str, default: str | None = None) -> str:
        """The attribute `name` as text; without a default it is required."""
        value = self.attributes.get(name, default)
        if isinstance(value, bytes):
            return value.decode("utf-8", errors="replace")
        if not isinstance(value, str):
            raise self.invalid(f"attribute '{name}' must be text, found {value!r}")
        return value

    def integers(self, name: str) -> list[int] | None:
        """The attribute `name` as a list of int, or None when the node lacks it."""
        value = self.attributes.get(name)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)) or not all(isinstance(entry, int) for entry in value):
            raise self.invalid(f"attribute '{name}' must be a list of integers, found {value!r}")
        return list(value)

    def floats(self, name: str) -> list[float] | None:
        """The attribute `name` as a list of float, or None when the node lacks it."""
        value = self.attributes.get(name)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)) or not all(isinstance(entry, (int, float)) for entry in value):
            raise self.invalid(f"attribute '{name}' must be a list of floats, found {value!r}")
        return [float(entry) for entry in value]

    def strings(self, name: str) -> list[str] | None:
        """The attribute `name` as a list of text, or None when the node lacks it."""
        value = self.attributes.get(name)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)) or not all(isinstance(entry, bytes) for entry in value):
            raise self.invalid(f"attribute '{name}' must be a list of text, found {value!r}")
        return [entry.decode("utf-8", errors="replace") for entry in value]  # type: ignore[union-attr]

    def tensor(self, name: str) -> np.ndarray | None:
        """The attribute `name` as an array, or None when the node lacks it."""
        value = self.attributes.get(name)
        if value is None:
            return None
        if not isinstance(value, onnx.TensorProto):
            raise self.invalid(f"attribute '{name}' must be a tensor, found {type(value).__name__}")
        try:
            return onnx.numpy_helper.to_array(value)
        except (ValueError, TypeError) as error:
            raise self.invalid(f"attribute '{name}' must be a readable tensor, found {error}") from error

    def graph(self, name: str) -> onnx.GraphProto:
        """The attribute `name` as a graph; it is required."""
        value = self.attributes.get(name)
        if not isinstance(value, onnx.GraphProto):
            raise self.invalid(f"attribute '{name}' must be a graph, found {type(value).__name__}")
        return value
