"""`read_model`: an `.ec` file to a model."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.model_file.archive import DESCRIPTION, MODULE, WEIGHTS, unpack
from edgecompile.compress.model_file.constants import put_constants
from edgecompile.compress.model_file.description import Description, decode
from edgecompile.compress.model_file.graph import load_graph
from edgecompile.compress.model_file.signature import check_signature, check_well_formed
from edgecompile.compress.model_file.tensors import decode as decode_tensors
from edgecompile.compress.model_file.write import constant_name, sample_name
from edgecompile.decision import Decision
from edgecompile.errors import InvalidModelError
from edgecompile.frontend.model import CompressionStep, Model
from edgecompile.settings import LIMITS

if TYPE_CHECKING:
    import numpy as np


def read_model(path: str | os.PathLike[str]) -> Model:
    """The model of an `.ec` file, without a `reference`.

    Nothing is parsed before its size and its checksum are as `model.json` says, and nothing in the file is run.

    Raises:
        InvalidModelError: the file cannot be read, is damaged, too large, of another version, or not what
            `write_model` writes.
    """
    name = str(path)
    data = _read(Path(path))
    contents = unpack(data, name)
    description = decode(contents[DESCRIPTION], name)
    _check_members(description, contents, name)
    arrays = decode_tensors(contents[WEIGHTS], name)
    # No list is made of a number that the file claims before the file has shown as many.
    count = min(description.constants, len(arrays))
    expected = [constant_name(index) for index in range(count)]
    if count != description.constants or set(arrays) != {*expected, *map(sample_name, description.samples)}:
        raise InvalidModelError(f"{name}: its weights are not those that model.json names; compress the model again")
    inputs = tuple(entry.spec for entry in description.inputs)
    outputs = tuple(entry.spec for entry in description.outputs)
    module = put_constants(load_graph(contents[MODULE], name), [arrays[key] for key in expected], name)
    check_well_formed(module, name)
    check_signature(module, inputs, outputs, name)
    return Model(
        module=module,
        inputs=inputs,
        outputs=outputs,
        name=description.name,
        source=description.source,
        opset=description.opset,
        sample_inputs=_samples(description, arrays, name),
        reference_name=description.reference_name,
        history=_history(description),
    )


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LIMITS.model_file_bytes:
            raise InvalidModelError(f"{path} has {size} bytes, at most {LIMITS.model_file_bytes} are read")
        return path.read_bytes()
    except OSError as error:
        raise InvalidModelError(f"{path} cannot be read: {error.strerror or error}") from error


def _check_members(description: Description, contents: dict[str, bytes], name: str) -> None:
    if set(description.members) != {MODULE, WEIGHTS}:
        raise InvalidModelError(f"{name}: model.json must name {MODULE} and {WEIGHTS}; compress the model again")
    for member, entry in description.members.items():
        data = contents[member]
        if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise InvalidModelError(
                f"{name}: {member} was changed since it was written (its SHA-256 differs from model.json's); compress "
                "the model again"
            )


def _samples(description: Description, arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    specs = {entry.name: entry for entry in description.inputs}
    samples = {key: arrays[sample_name(key)] for key in description.samples}
    for key, array in samples.items():
        shape = specs[key].shape
        fits = len(shape) == array.ndim and all(
            isinstance(said, str) or said == found for said, found in zip(shape, array.shape, strict=True)
        )
        if not fits or array.dtype.name != specs[key].dtype:
            raise InvalidModelError(f"{name}: the sample of {key!r} is no such input; compress the model again")
    return samples


def _history(description: Description) -> tuple[CompressionStep, ...]:
    return tuple(
        CompressionStep(
            kind=step.kind,
            recipe=step.recipe,
            decisions=tuple(Decision(**dict(decision)) for decision in step.decisions),
            figures=step.figures,
        )
        for step in description.history
    )
