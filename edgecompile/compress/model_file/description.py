"""`Description`: what `model.json` says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from edgecompile.artifact.dtypes import DtypeName
from edgecompile.artifact.manifest import Dimension, FileEntry, Identifier, Sha256
from edgecompile.errors import InvalidModelError
from edgecompile.frontend.model import CompressionStep, TensorSpec
from edgecompile.malformed import malformed

SCHEMA_VERSION = 1

Name = Annotated[str, Field(min_length=1, max_length=1024)]
Text = Annotated[str, Field(max_length=4096)]


class _Entry(BaseModel):
    """Unknown keys, conversions between types and changes after the fact are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Tensor(_Entry):
    """One input or output; see `TensorSpec`."""

    name: Name
    shape: Annotated[tuple[Dimension, ...], Field(max_length=16)]
    dtype: DtypeName

    @property
    def spec(self) -> TensorSpec:
        """The same, as a model has it."""
        return TensorSpec(self.name, self.shape, self.dtype)


class DecisionEntry(_Entry):
    """See `edgecompile.decision.Decision`."""

    step: Text
    subject: Text
    kept: bool
    reason: Text


class StepEntry(_Entry):
    """See `CompressionStep`."""

    kind: Name
    recipe: dict[str, JsonValue]
    decisions: tuple[DecisionEntry, ...]
    figures: dict[Text, dict[Name, Annotated[float, Field(allow_inf_nan=False)]]] = Field(default_factory=dict)


class Description(_Entry):
    """The content of `model.json`.

    Attributes:
        name, source, opset, inputs, outputs, reference_name: see `Model`.
        history: the recipe's steps that were done, in order, with their decisions.
        constants: how many weights there are; the others of the tensors are sample inputs.
        samples: the inputs that have sample values.
        members: what the other members of the file are.
        checksum: SHA-256 of this text without this line. It shows damage; it is no signature.
    """

    schema_version: Literal[1] = 1
    name: Identifier
    source: Literal["onnx", "torch"]
    opset: int | None
    inputs: tuple[Tensor, ...]
    outputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]
    reference_name: Text
    history: tuple[StepEntry, ...]
    constants: Annotated[int, Field(ge=0)]
    samples: tuple[Name, ...]
    members: dict[str, FileEntry]
    checksum: Sha256 = "0" * 64

    @model_validator(mode="after")
    def _check(self) -> Description:
        for kind, entries in (("inputs", self.inputs), ("outputs", self.outputs)):
            if len({entry.name for entry in entries}) != len(entries):
                raise ValueError(f"{kind} share a name")
        if not set(self.samples) <= {entry.name for entry in self.inputs}:
            raise ValueError("a sample of something that is no input")
        return self

    def encode(self) -> bytes:
        """The member's bytes, with the checksum filled in; the same for equal descriptions."""
        return _canonical(self.model_copy(update={"checksum": self._digest()}))

    def _digest(self) -> str:
        return hashlib.sha256(_canonical(self.model_copy(update={"checksum": "0" * 64}))).hexdigest()


def decode(data: bytes, name: str) -> Description:
    """Read `model.json` of the file `name`.

    Raises:
        InvalidModelError: it is no description, of another schema version, or changed since it was written.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidModelError(f"{name}: model.json is no JSON; compress the model again") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise InvalidModelError(
            f"{name} has schema version {version!r:.40}, this edgecompile reads version {SCHEMA_VERSION}; compress the "
            "model again, or use the release that wrote it"
        )
    try:
        description = Description.model_validate_json(data)
    except ValidationError as error:
        raise InvalidModelError(f"{name}: model.json is {malformed(error)}") from error
    if description.encode() != data:
        raise InvalidModelError(f"{name}: model.json was changed since it was written; compress the model again")
    return description


def step_entry(step: CompressionStep) -> StepEntry:
    """A step of a model's history, as it is written."""
    decisions = tuple(DecisionEntry(**vars(decision)) for decision in step.decisions)
    return StepEntry(kind=step.kind, recipe=dict(step.recipe), decisions=decisions, figures=_plain(step.figures))


def _plain(figures: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {subject: dict(numbers) for subject, numbers in figures.items()}


def tensor_entry(spec: TensorSpec) -> Tensor:
    """An input or output, as it is written."""
    return Tensor(name=spec.name, shape=spec.shape, dtype=spec.dtype)  # type: ignore[arg-type]  # pydantic checks it


def _canonical(description: Description) -> bytes:
    document = description.model_dump(mode="json")
    for step in document["history"]:
        if not step["figures"]:
            del step["figures"]  # as files without them have always been
    return (json.dumps(document, sort_keys=True, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")
