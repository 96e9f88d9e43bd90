"""The PyTorch frontend's one entry."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from edgecompile.errors import InvalidModelError
from edgecompile.frontend.model import Model
from edgecompile.frontend.torch.archive import read_archive
from edgecompile.frontend.torch.convert import convert, model_name
from edgecompile.frontend.torch.dimensions import Shape
from edgecompile.frontend.torch.export import export


def load_torch(
    source: torch.nn.Module | ExportedProgram | str | os.PathLike[str],
    *,
    example_inputs: Any = None,
    input_names: Sequence[str] | None = None,
    shapes: Mapping[str, Shape] | None = None,
    freeze: Mapping[str, np.ndarray] | None = None,
    name: str | None = None,
) -> Model:
    """Imports a module with example inputs, an exported program, or a `.pt2` file.

    Args:
        source: the model.
        example_inputs: for a module: a tensor, a tuple of forward's arguments, or a dict of its keyword arguments.
        input_names: names for the tensor inputs in order, instead of forward's argument names.
        shapes: by input name, one entry per dimension. For a module, a string leaves the dimension dynamic under that
            name; for a program exported with dynamic dimensions, a number freezes one and a string renames it.
        freeze: by input name, the value that the input shall always have; it is no input of the model any more.
        name: a C identifier for the library; the module's class or the file's name otherwise.

    Raises:
        InvalidModelError: the source is unreadable or unsafe, or the other arguments do not fit it.
        UnsupportedModelError: it has something that cannot be imported.
    """
    if isinstance(source, torch.nn.Module):
        program = export(source, example_inputs, input_names, shapes)
        return convert(
            program, name=model_name(name, type(source).__name__), names=input_names, shapes=shapes, freeze=freeze
        )
    if example_inputs is not None:
        raise InvalidModelError(
            "example_inputs goes with an nn.Module only; an exported program has its inputs already"
        )
    if isinstance(source, ExportedProgram):
        fallback = source.graph_module.__class__.__name__ if name is None else name
        fallback = "exported_program" if fallback == "GraphModule" else fallback
        return convert(source, name=model_name(name, fallback), names=input_names, shapes=shapes, freeze=freeze)
    path = Path(source)
    program = read_archive(path)
    return convert(program, name=model_name(name, path.stem), names=input_names, shapes=shapes, freeze=freeze)
