"""`selftest.npz`: one set of inputs, what the original model answered, and what the compiled one answered."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.artifact.dtypes import numpy_dtype
from edgecompile.artifact.manifest import SELFTEST_NAME, Facts, TensorEntry
from edgecompile.errors import InvalidArtifactError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class SelfTest:
    """The arrays by the names of inputs and outputs.

    Attributes:
        inputs: one array for each input.
        reference: the original model's outputs; empty where no framework could run it.
        compiled: the compiled model's outputs; empty where the target could not be run at compile time.
    """

    inputs: Mapping[str, np.ndarray]
    reference: Mapping[str, np.ndarray]
    compiled: Mapping[str, np.ndarray]


def write_selftest(folder: Path, selftest: SelfTest) -> None:
    """Write `selftest.npz` into `folder`."""
    arrays = {f"input/{name}": array for name, array in selftest.inputs.items()}
    arrays |= {f"reference/{name}": array for name, array in selftest.reference.items()}
    arrays |= {f"compiled/{name}": array for name, array in selftest.compiled.items()}
    (folder / SELFTEST_NAME).write_bytes(encode_npz(arrays))


def encode_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A `.npz` whose bytes depend on the arrays alone: `numpy.savez` would put the time of day into it.

    Entries are stored, not deflated, because zlib's output changes with its version.
    """
    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # the same on every system
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(arrays[name], order="C"), allow_pickle=False)
    return buffer.getvalue()


def read_selftest(data: bytes, facts: Facts) -> SelfTest:
    """Read the content of `selftest.npz`.

    Raises:
        InvalidArtifactError: it is no such file, or does not fit the manifest's inputs and outputs.
    """
    import numpy as np

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InvalidArtifactError(f"{SELFTEST_NAME} cannot be read ({error}): compile the model again") from error
    selftest = SelfTest(
        inputs=_pick(arrays, "input", facts.inputs),
        reference=_pick(arrays, "reference", facts.outputs),
        compiled=_pick(arrays, "compiled", facts.outputs),
    )
    if arrays:
        raise InvalidArtifactError(f"{SELFTEST_NAME} holds {min(arrays)!r}, which is no input or output of the model")
    if len(selftest.inputs) != len(facts.inputs):
        raise InvalidArtifactError(f"{SELFTEST_NAME} lacks inputs of the model: compile the model again")
    return selftest


def _pick(arrays: dict[str, np.ndarray], kind: str, entries: Sequence[TensorEntry]) -> dict[str, np.ndarray]:
    """Move the arrays of one kind out of `arrays`; either all are there or none."""
    picked: dict[str, np.ndarray] = {}
    for entry in entries:
        array = arrays.pop(f"{kind}/{entry.name}", None)
        if array is None:
            continue
        dtype = numpy_dtype(entry.dtype)
        if array.dtype.kind == "V" and array.dtype.itemsize == dtype.itemsize:
            array = array.view(dtype)  # .npy has no name for bfloat16: it is stored as two raw bytes
        if array.dtype != dtype or not _fits(array.shape, entry.shape):
            raise InvalidArtifactError(
                f"{SELFTEST_NAME} holds {kind} {entry.name!r} as {array.dtype}{list(array.shape)}, the manifest says "
                f"{entry}: compile the model again"
            )
        picked[entry.name] = array
    if picked and len(picked) != len(entries):
        raise InvalidArtifactError(f"{SELFTEST_NAME} holds only some of the {kind} arrays: compile the model again")
    return picked


def _fits(shape: Sequence[int], wanted: Sequence[int | str]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(dim, str) or dim == length for length, dim in zip(shape, wanted, strict=True)
    )
