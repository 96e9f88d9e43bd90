"""`CalibrationTable`: the frozen result of calibration, as JSON that a person reads and edits."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from edgecompile.artifact.manifest import Count, Finite, Frozen
from edgecompile.compress.graph.variables import float_variables
from edgecompile.compress.quantize.fingerprint import fingerprint
from edgecompile.compress.quantize.observers.observer import Range
from edgecompile.errors import InvalidCalibrationError
from edgecompile.frontend.model import Model
from edgecompile.malformed import malformed

SCHEMA_VERSION = 1
_MAX_FILE_BYTES = 1 << 28  # the largest tables, with every channel of a large transformer, have some megabytes


def _float32(value: float) -> float:
    """The shortest decimal that means the same float32, so that reading and writing again changes nothing.

    Raises:
        ValueError: the value is beyond float32.
    """
    import numpy as np

    with np.errstate(over="ignore"):
        rounded = np.float32(value)
    if not np.isfinite(rounded):
        raise ValueError(f"{value:g} is beyond float32")
    return float(str(rounded)) + 0.0  # -0.0 becomes 0.0


Float32 = Annotated[Finite, AfterValidator(_float32)]


class TensorRange(Frozen):
    """What calibration knows of one tensor.

    Attributes:
        low, high: the real values that its integers shall span, low <= 0 <= high; both 0 where it is always zero.
        channel_absmax: the greatest magnitude of each channel (axis 1 of four dimensions, else the last axis); None
            where it was not asked for, or the tensor has fewer than two dimensions.
    """

    low: Float32
    high: Float32
    channel_absmax: tuple[Annotated[Float32, Field(ge=0)], ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> TensorRange:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        if not self.low <= 0 <= self.high:
            raise ValueError(f"the range {self.low:g} to {self.high:g} must have zero inside, which has to stay exact")
        return self

    @property
    def range(self) -> Range:
        """Low and high."""
        return Range(self.low, self.high)


class CalibrationTable(Frozen):
    """The content of a calibration table.

    A tensor that is not in it is not quantized: the layers that write or read it stay float. So removing a line keeps a
    layer float, and editing one changes its range.

    Attributes:
        model: the model's name; for people.
        fingerprint: of the module that was observed, by `fingerprint`.
        observer: what chose the ranges, such as "percentile(99.99)".
        samples: how many inferences were observed.
        tensors: by the name of the variable in the module's `main`.
    """

    schema_version: Literal[1] = 1
    model: str
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    observer: str
    samples: Annotated[Count, Field(gt=0)]
    tensors: dict[Annotated[str, Field(min_length=1)], TensorRange]

    def encode(self) -> bytes:
        """The file's bytes: one line per tensor, sorted by name, so that equal tables are equal files."""
        document = self.model_dump(mode="json", exclude_none=True)
        tensors = document.pop("tensors")
        head = [f"  {_json(key)}: {_json(value)}," for key, value in document.items()]
        lines = [f"    {_json(name)}: {_json(tensors[name])}" for name in sorted(tensors)]
        body = ['  "tensors": {', ",\n".join(lines), "  }"] if lines else ['  "tensors": {}']
        return "\n".join(["{", *head, *body, "}", ""]).encode("ascii")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table, replacing what is there once it is complete.

        Raises:
            OutputError: the file cannot be written.
        """
        from edgecompile.artifact.write import write_file

        write_file(Path(path), self.encode())

    def check(self, model: Model) -> None:
        """Make sure that the table was made with this model and names only tensors of it.

        Raises:
            InvalidCalibrationError: it was not, or a name is not one of the model's.
        """
        found = fingerprint(model)
        if found != self.fingerprint:
            raise InvalidCalibrationError(
                f"the calibration table is for another model: it was made with {self.model!r} "
                f"({self.fingerprint}), this is {model.name!r} ({found}): calibrate again"
            )
        known = set(float_variables(model))
        unknown = sorted(set(self.tensors) - known)
        if unknown:
            raise InvalidCalibrationError(
                f"the calibration table names the tensor {unknown[0]!r}, which {model.name!r} does not have: "
                "mend or remove the line"
            )


def decode(data: bytes, name: str = "the calibration table") -> CalibrationTable:
    """Read the content of a table.

    Args:
        name: what an error calls it.

    Raises:
        InvalidCalibrationError: it is no table, of another schema version, or a value of it is not allowed.
    """
    document = _parse(data, name)
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InvalidCalibrationError(
            f"{name} has schema version {version!r:.40}, this edgecompile reads version {SCHEMA_VERSION}: calibrate "
            "again, or use the release that wrote it"
        )
    try:
        return CalibrationTable.model_validate_json(data)
    except ValidationError as error:
        raise InvalidCalibrationError(f"{name} is {malformed(error)}") from error


def load_table(path: str | os.PathLike[str]) -> CalibrationTable:
    """Read a table from a file.

    Raises:
        InvalidCalibrationError: the file is missing, or as for `decode`.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > _MAX_FILE_BYTES:
            raise InvalidCalibrationError(f"{path} has {size:,} bytes, a calibration table at most {_MAX_FILE_BYTES:,}")
        data = file.read_bytes()
    except OSError as error:
        raise InvalidCalibrationError(f"the calibration table {path} cannot be read: {error.strerror}") from error
    return decode(data, str(path))


def _parse(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object, to say more about what is wrong with it than the validator does."""
    try:
        document = json.loads(data, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise InvalidCalibrationError(
            f"{name} is not JSON at line {error.lineno}, column {error.colno}: {error.msg} "
            "(the last entry before a closing brace has no comma)"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidCalibrationError(f"{name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidCalibrationError(f"{name} is no JSON object: a calibration table was needed")
    return document


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{twice!r} is there twice, keep one")
    return document


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False)
