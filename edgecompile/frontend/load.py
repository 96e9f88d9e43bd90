"""`load`: any model to a `Model`, by what it is."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompile.errors import InvalidModelError
from edgecompile.frontend.model import Model

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    import onnx
    import torch

    Source: TypeAlias = (
        str | os.PathLike[str] | bytes | onnx.ModelProto | torch.nn.Module | torch.export.ExportedProgram
    )

_PICKLES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib"})
_WEIGHTS_ONLY = frozenset({".safetensors", ".npz", ".h5", ".gguf"})


def load(
    source: Source,
    *,
    example_inputs: Any = None,
    input_names: Sequence[str] | None = None,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    freeze: Mapping[str, np.ndarray] | None = None,
    name: str | None = None,
) -> Model:
    """Imports a model.

    Args:
        source: an ONNX model (path, bytes or `ModelProto`), a PyTorch program (`nn.Module`, `ExportedProgram` or the
            path of a `.pt2` file), a compressed model (the path of an `.ec` file), or a model of the zoo
            (`"zoo:resnet18"`; trained where the zoo can train it).
        example_inputs: for an `nn.Module`: a tensor, a tuple of forward's arguments, or a dict of its keywords.
        input_names: for PyTorch: names of the tensor inputs, in order, instead of forward's argument names.
        shapes: by input name, one entry per dimension: numbers freeze dynamic dimensions.
        freeze: by input name, the value that the input shall always have.
        name: a C identifier for the library; made from the file or class otherwise.

    Raises:
        InvalidModelError: no such file, not a model, unsafe, beyond the limits, or arguments that do not fit it.
        UnsupportedModelError: operators, dtypes or shapes that cannot be imported.
    """
    if isinstance(source, str) and source.startswith("zoo:"):
        return _load_zoo(source.removeprefix("zoo:"), example_inputs, input_names, shapes, freeze, name)
    if isinstance(source, bytes) or _is_instance(source, "onnx", "ModelProto"):
        _refuse_torch_options("an ONNX model", example_inputs, input_names)
        return _load_onnx(source, shapes, freeze, name)
    if _is_instance(source, "torch.nn", "Module") or _is_instance(source, "torch.export", "ExportedProgram"):
        return _load_torch(source, example_inputs, input_names, shapes, freeze, name)
    if not isinstance(source, str | os.PathLike):
        raise InvalidModelError(
            f"a model is a path, bytes, ModelProto, nn.Module or ExportedProgram, not a {type(source).__name__}; "
            "give one of them"
        )
    path = Path(source)
    _check_path(path)
    if path.suffix.lower() == ".onnx":
        _refuse_torch_options("an ONNX model", example_inputs, input_names)
        return _load_onnx(path, shapes, freeze, name)
    if path.suffix.lower() == ".ec":
        _refuse_torch_options("a compressed model", example_inputs, input_names)
        return _load_compressed(path, shapes, freeze, name)
    return _load_torch(path, example_inputs, input_names, shapes, freeze, name)


def _check_path(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise InvalidModelError(
            f"{path} is a pickle, which can run code when opened, and holds no graph; build the module in Python and "
            "write it "
            "with torch.export.save(torch.export.export(module.eval(), inputs), 'model.pt2')"
        )
    if suffix in _WEIGHTS_ONLY:
        raise InvalidModelError(
            f"{path} holds weights without a graph; load them into the module and pass the module with example_inputs"
        )
    if not path.exists():
        raise InvalidModelError(f"no model at {path}; give the path of an .onnx, .pt2 or .ec file, or zoo:NAME")
    if path.is_dir():
        raise InvalidModelError(f"{path} is a folder; give the path of the .onnx, .pt2 or .ec file in it")
    if suffix not in (".onnx", ".pt2", ".ec"):
        raise InvalidModelError(f"{path} has the suffix {suffix or '(none)'}; models are .onnx, .pt2 or .ec files")


def _refuse_torch_options(what: str, example_inputs: Any, input_names: Sequence[str] | None) -> None:
    if example_inputs is not None or input_names is not None:
        raise InvalidModelError(f"example_inputs and input_names go with PyTorch models, not {what}; leave them out")


def _is_instance(source: object, module: str, kind: str) -> bool:
    """`isinstance` without importing the framework: an object of it exists only where it was imported."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(source, getattr(loaded, kind))


def _load_onnx(source: Any, shapes: Any, freeze: Any, name: str | None) -> Model:
    from edgecompile.frontend.onnx import load_onnx

    return load_onnx(source, shapes=shapes, freeze=freeze, name=name)


def _load_compressed(path: Path, shapes: Any, freeze: Any, name: str | None) -> Model:
    if shapes or freeze:
        raise InvalidModelError(
            f"{path} is compressed for the inputs that it has; give shapes and freeze where the model is compressed"
        )
    from edgecompile.compress.model_file import read_model

    model = read_model(path)
    if name is None:
        return model
    if not (name.isidentifier() and name.isascii()):
        raise InvalidModelError(f"name must be a C identifier, not {name!r}; use letters, digits and underscores")
    return dataclasses.replace(model, name=name)


def _load_torch(
    source: Any, example_inputs: Any, input_names: Any, shapes: Any, freeze: Any, name: str | None
) -> Model:
    from edgecompile.frontend.torch import load_torch

    return load_torch(
        source, example_inputs=example_inputs, input_names=input_names, shapes=shapes, freeze=freeze, name=name
    )


def _load_zoo(
    zoo_name: str, example_inputs: Any, input_names: Any, shapes: Any, freeze: Any, name: str | None
) -> Model:
    from edgecompile import zoo

    module, examples = zoo.build(zoo_name)
    if zoo_name in zoo.trainable():
        module = zoo.trained(zoo_name)
    inputs = examples if example_inputs is None else example_inputs
    return _load_torch(module, inputs, input_names, shapes, freeze, name or zoo_name.replace("-", "_"))
