"""ONNX models -> `Model`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgecompile.frontend.model import Model

if TYPE_CHECKING:
    import numpy as np
    import onnx

__all__ = ["load_onnx"]


def load_onnx(
    source: str | os.PathLike[str] | bytes | onnx.ModelProto,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    freeze: Mapping[str, np.ndarray] | None = None,
    name: str | None = None,
) -> Model:
    """The model in an ONNX file, in bytes, or in a `ModelProto`.

    Args:
        source: opset 7 to the newest that the installed `onnx` package knows.
        shapes: fixes the dimensions of the inputs named; others may stay dynamic.
        freeze: turns the inputs named into constants, which shape-like inputs (axes, pads, k) usually need.
        name: names the library; by default from the file's or the graph's name.

    Raises:
        InvalidModelError: the model is missing, malformed, unsafe or beyond `edgecompile.settings.LIMITS`.
        UnsupportedModelError: some nodes cannot be imported; the message names them all.
        InvalidInputError: `shapes` or `freeze` contradict the model.
    """
    from edgecompile.frontend.onnx import clean, read

    checked = read.read(source)
    model, constants = clean.freeze(checked, shapes or {}, freeze or {})

    from edgecompile.frontend.onnx import (  # here, so that a refused file costs no import of TVM
        convert,
        reference,
        signature,
    )

    module, inputs, outputs = convert.convert(model, constants)
    run, reference_name = reference.make_reference(model, constants)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    return Model(
        module=module,
        inputs=inputs,
        outputs=outputs,
        name=signature.identifier(name or checked.stem or model.graph.name, "model"),
        source="onnx",
        opset=opsets.get("", opsets.get("ai.onnx")),
        reference=run,
        reference_name=reference_name,
    )
