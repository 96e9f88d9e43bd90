"""`write_model`: a model to one `.ec` file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from edgecompile.artifact.manifest import FileEntry
from edgecompile.artifact.write import write_file
from edgecompile.compress.model_file.archive import DESCRIPTION, MODULE, WEIGHTS, pack
from edgecompile.compress.model_file.constants import take_constants
from edgecompile.compress.model_file.description import Description, step_entry, tensor_entry
from edgecompile.compress.model_file.graph import save_graph
from edgecompile.compress.model_file.tensors import encode
from edgecompile.errors import OutputError, UnsupportedModelError
from edgecompile.frontend.model import Model
from edgecompile.settings import LIMITS

SUFFIX = ".ec"


def write_model(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model that `load` reads back: the same module, the same bits in each constant, the same history.

    Args:
        model: of Relax operators; its `reference` is not written.
        path: ends in ".ec"; a file there is replaced when the new one is complete. Equal models make equal files.

    Raises:
        OutputError: another suffix, no space or no permission.
        UnsupportedModelError: the model has functions of its own, or more bytes than one file can hold.
    """
    place = Path(path)
    check_suffix(place)
    data = encode_model(model)
    write_file(place, data)


def check_suffix(path: Path) -> None:
    """Refuse a name that `load` would not know.

    Raises:
        OutputError: another suffix.
    """
    if path.suffix != SUFFIX:
        raise OutputError(f"a compressed model is an {SUFFIX} file, found the name {path.name!r}; give model{SUFFIX}")


def encode_model(model: Model) -> bytes:
    """The bytes of the file; see `write_model`."""
    module, constants = take_constants(model.module)
    arrays = {constant_name(index): array for index, array in enumerate(constants)}
    samples = {sample_name(name): array for name, array in model.sample_inputs.items()}
    total = sum(array.nbytes for array in (*arrays.values(), *samples.values()))
    if total > LIMITS.model_file_bytes // 2:
        raise UnsupportedModelError(
            f"a file holds at most {LIMITS.model_file_bytes // 2} bytes of weights, found {total}; compile the model "
            "in the process that compresses it"
        )
    members = {MODULE: save_graph(module), WEIGHTS: encode({**arrays, **samples})}
    description = Description(
        name=model.name,
        source=model.source,  # type: ignore[arg-type]  # pydantic checks it
        opset=model.opset,
        inputs=tuple(tensor_entry(spec) for spec in model.inputs),
        outputs=tuple(tensor_entry(spec) for spec in model.outputs),
        reference_name=model.reference_name,
        history=tuple(step_entry(step) for step in model.history),
        constants=len(constants),
        samples=tuple(sorted(model.sample_inputs)),
        members={name: FileEntry(sha256=_digest(data), bytes=len(data)) for name, data in members.items()},
    )
    return pack({DESCRIPTION: description.encode(), **members})


def constant_name(index: int) -> str:
    """What a constant is called among the tensors of the file."""
    return f"constant_{index}"


def sample_name(input_name: str) -> str:
    """What the sample of an input is called among the tensors of the file."""
    return f"sample_{input_name}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
