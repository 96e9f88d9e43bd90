"""`Sensitivity`: what was measured, as JSON that grows while it is measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from edgecompile.artifact.manifest import Finite, Frozen, Sha256
from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.frontend.model import Model

Record = TypeVar("Record", bound=Frozen)


class Effect(Frozen):
    """What a choice of compressed layers costs.

    Attributes:
        snr_db: signal-to-noise ratio of the outputs on the samples, see `signal_to_noise_db`; None without samples.
        metric: the user's; None without one.
    """

    snr_db: Finite | None = None
    metric: Finite | None = None


class Key(Frozen):
    """What the numbers belong to; others are of no use when one of these differs.

    Attributes:
        model: SHA-256 over operators and weights.
        step: SHA-256 over the recipe's step and what was calibrated for it.
        samples: SHA-256 over their values; "" without samples.
        metric: the name of the user's function; "" without one.
    """

    model: Sha256
    step: Sha256
    samples: Sha256 | Literal[""] = ""
    metric: str = ""


class Sensitivity(Frozen):
    """The content of a sensitivity file.

    Attributes:
        name: of the model; for people.
        kind: of the step that compresses the layers, such as "quantize".
        uncompressed: the model as it was.
        compressed: all layers compressed; None while it was not measured.
        layers: each of them compressed alone, in order of execution; those that are missing were not measured yet.
    """

    schema_version: Literal[1] = 1
    name: str
    kind: str
    key: Key
    uncompressed: Effect
    compressed: Effect | None = None
    layers: dict[Annotated[str, Field(min_length=1)], Effect] = Field(default_factory=dict)

    def drop(self, layer: str) -> float | None:
        """By how much the metric falls when this layer alone is compressed; None where that is unknown."""
        found = self.layers.get(layer)
        if found is None or found.metric is None or self.uncompressed.metric is None:
            return None
        return self.uncompressed.metric - found.metric

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        from edgecompile.artifact.write import write_file

        document = self.model_dump(mode="json")
        write_file(path, (json.dumps(document, indent=2, ensure_ascii=True) + "\n").encode("ascii"))


def read_sensitivity(path: Path) -> Sensitivity | None:
    """What a file holds; None where there is none.

    Raises:
        InvalidInputError: the file is something else, which shall not be overwritten.
    """
    return read_record(path, Sensitivity)


def read_record(path: Path, form: type[Record]) -> Record | None:
    """What a file of this form holds; None where there is none.

    Raises:
        InvalidInputError: the file is something else, which shall not be overwritten.
    """
    try:
        return form.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        where = f"at {'.'.join(map(str, found['loc'])) or 'top level'}"
        if found["type"] == "json_invalid":
            where = found["msg"]
        raise InvalidInputError(
            f"{path} is there and is no file of sensitivities ({where:.100}): mend it, name another file, or remove it"
        ) from error


def model_checksum(model: Model) -> str:
    """SHA-256 over the operators and the values of all constants."""
    import tvm
    from tvm_ffi.structural import structural_walk

    from edgecompile.compress.quantize.fingerprint import fingerprint

    digest = hashlib.sha256(fingerprint(model).encode())
    structural_walk(
        model.module["main"].body,
        (tvm.ir.GenericConst, lambda constant: digest.update(constant.value.numpy().tobytes())),
    )
    return digest.hexdigest()


def samples_checksum(samples: Iterable[Mapping[str, np.ndarray]]) -> str:
    """SHA-256 over names and values; "" where there are none."""
    digest = hashlib.sha256()
    empty = digest.digest()
    for sample in samples:
        for name, array in sample.items():
            digest.update(name.encode())
            digest.update(array.tobytes())
    return digest.hexdigest() if digest.digest() != empty else ""


def text_checksum(parts: Iterable[bytes]) -> str:
    """SHA-256 over all parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
