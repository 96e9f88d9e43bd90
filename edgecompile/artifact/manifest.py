"""`Manifest`: what `manifest.json` says about an artifact, and the one way it is spelled."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from edgecompile.artifact.dtypes import DtypeName
from edgecompile.errors import InvalidArtifactError
from edgecompile.implementation import Preference
from edgecompile.malformed import malformed
from edgecompile.target import Target

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
REPORT_NAME = "report.json"
SELFTEST_NAME = "selftest.npz"

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Dimension = Annotated[int, Field(ge=0, lt=2**31)] | Annotated[str, Field(min_length=1, max_length=256)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Frozen(BaseModel):
    """Unknown keys, conversions between types and changes after the fact are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TensorEntry(Frozen):
    """One input or output.

    Attributes:
        shape: a name stands for a dimension that is known at run time only.
        scale: real value of one step of a quantized tensor; None where the tensor is not quantized.
        zero_point: the integer that stands for zero; None where the tensor is not quantized.
    """

    name: Annotated[str, Field(min_length=1, max_length=1024)]
    shape: Annotated[tuple[Dimension, ...], Field(max_length=16)]
    dtype: DtypeName
    scale: Annotated[Finite, Field(gt=0)] | None = None
    zero_point: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None

    @property
    def is_static(self) -> bool:
        """True when every dimension is known."""
        return all(isinstance(dim, int) for dim in self.shape)

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


class FileEntry(Frozen):
    """What a file of the artifact must be."""

    sha256: Sha256
    bytes: Count


class Facts(Frozen):
    """All that the compiler says about an artifact; `seal` adds what the files are.

    Attributes:
        name: a C identifier; it names the library and its symbols.
        executor: "plan" is one C function over one arena; "vm" is Relax's virtual machine, which needs TVM.
        executor_reason: why the plan could not be used; "" for the plan.
        target: the device and all its facts.
        versions: of edgecompile, apache-tvm, apache-tvm-ffi and the framework that the model came from.
        source: "onnx" or "torch".
        opset: ONNX's opset of the default domain; None for other sources.
        recipe: the steps by which the model was compressed, see `Recipe.to_data`; None when it was not.
        records: the tuning records that chose kernels, by their keys.
        threads: how many work on one inference unless the caller says otherwise.
        prefer: what the ways to compute the layers were chosen by.
        arena_bytes: working memory of one instance.
        weight_bytes: all constants together, as they are stored.
        decoded_bytes: what weights take in memory that are stored in fewer bits and decoded when it is opened.
        weights_embedded: True when the library holds them, False when they are in the file `weights`.
        library: the shared library's file name.
        static_library, headers, weights: the other files to ship; None or empty where there are none.
        reference_name: what computed the reference outputs of the self-test, such as "onnxruntime 1.32.0".
        reference_tolerance: largest difference to the reference that passes, as a part of the output's range.
        compiled_tolerance: the same against the outputs recorded at compile time. Not zero for floating-point outputs,
            because exp and its like differ in the last bit between C libraries; integers must be equal.
    """

    name: Identifier
    executor: Literal["plan", "vm"]
    executor_reason: str = ""
    inputs: tuple[TensorEntry, ...]
    outputs: Annotated[tuple[TensorEntry, ...], Field(min_length=1)]
    target: Target
    versions: dict[str, str]
    source: Literal["onnx", "torch"]
    opset: int | None = None
    recipe: dict[str, JsonValue] | None = None
    records: tuple[str, ...] = ()
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    prefer: Preference = "speed"
    arena_bytes: Count
    weight_bytes: Count
    decoded_bytes: Count = 0
    weights_embedded: bool
    library: str
    static_library: str | None = None
    headers: tuple[str, ...] = ()
    weights: str | None = None
    reference_name: str = ""
    reference_tolerance: Annotated[Finite, Field(ge=0)] = 1e-4
    compiled_tolerance: Annotated[Finite, Field(ge=0)] = 1e-6

    @model_validator(mode="after")
    def _check(self) -> Facts:
        for kind, entries in (("inputs", self.inputs), ("outputs", self.outputs)):
            if len({entry.name for entry in entries}) != len(entries):
                raise ValueError(f"{kind} share a name")
        if self.executor == "plan" and not all(entry.is_static for entry in self.inputs + self.outputs):
            raise ValueError("executor 'plan' needs static shapes")
        if (self.executor == "vm") != bool(self.executor_reason):
            raise ValueError("executor_reason says why the executor is 'vm', and only then")
        return self

    @property
    def named_files(self) -> tuple[str, ...]:
        """The files that some field names."""
        optional = (self.static_library, self.weights)
        return (self.library, *self.headers, *(name for name in optional if name is not None))


class Manifest(Facts):
    """The content of `manifest.json`.

    Attributes:
        checksum: SHA-256 of this file without this line. It shows damage; it is no signature, so it does not show who
            wrote the artifact.
        files: every other file of the folder, by its path with forward slashes.
    """

    schema_version: Literal[1] = 1
    checksum: Sha256
    files: dict[str, FileEntry]

    @model_validator(mode="after")
    def _check_files(self) -> Manifest:
        for name in self.files:
            if not is_safe_name(name) or name == MANIFEST_NAME:
                raise ValueError(f"{name!r} is no file inside the artifact")
        for name in self.named_files:
            if name not in self.files:
                raise ValueError(f"{name!r} is not among the files")
        return self

    def encode(self) -> bytes:
        """The file's bytes: keys sorted, ASCII, no time stamp, so that equal manifests are equal files."""
        return _canonical(self.model_dump(mode="json"))


def is_safe_name(name: str) -> bool:
    """True for a relative path, in its shortest spelling, that stays in its folder."""
    if not name.isascii() or not name.isprintable() or "\\" in name or ":" in name:
        return False
    path = PurePosixPath(name)
    return name == str(path) and not path.is_absolute() and name != "." and ".." not in path.parts


def complete(facts: Facts, files: dict[str, FileEntry]) -> Manifest:
    """Add the files and the checksum to what the compiler said."""
    draft = Manifest(**dict(facts), checksum="0" * 64, files=files)
    return draft.model_copy(update={"checksum": _checksum(draft)})


def decode(data: bytes) -> Manifest:
    """Read the content of `manifest.json`.

    Raises:
        InvalidArtifactError: it is no manifest, of another schema version, or changed since it was written.
    """
    version = _schema_version(data)
    if version != SCHEMA_VERSION:
        raise InvalidArtifactError(
            f"{MANIFEST_NAME} has schema version {version!r:.40}, this edgecompile reads version {SCHEMA_VERSION}: "
            "compile the model again, or use the release that wrote it"
        )
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise InvalidArtifactError(f"{MANIFEST_NAME} is {malformed(error)}") from error
    if manifest.encode() != data or _checksum(manifest) != manifest.checksum:
        raise InvalidArtifactError(f"{MANIFEST_NAME} was changed since it was written: compile the model again")
    return manifest


def _schema_version(data: bytes) -> object:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArtifactError(f"{MANIFEST_NAME} is not JSON: compile the model again") from error
    if not isinstance(document, dict):
        raise InvalidArtifactError(f"{MANIFEST_NAME} is no JSON object: compile the model again")
    return document.get("schema_version")


def _checksum(manifest: Manifest) -> str:
    return hashlib.sha256(_canonical(manifest.model_dump(mode="json", exclude={"checksum"}))).hexdigest()


def _canonical(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, sort_keys=True, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")
