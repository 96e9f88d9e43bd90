"""Checking what a caller gives to `Artifact.run` before it reaches code that trusts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgecompile.artifact.dtypes import numpy_dtype
from edgecompile.artifact.manifest import TensorEntry
from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np


def bind_inputs(entries: Sequence[TensorEntry], arrays: Sequence[Any], by_name: Mapping[str, Any]) -> list[np.ndarray]:
    """Put the caller's arrays into the order of `entries`, each checked and contiguous.

    Args:
        entries: the inputs of the manifest.
        arrays: given by position; or one mapping from names.
        by_name: given by name.

    Raises:
        InvalidInputError: names, number, dtypes or shapes are not those of `entries`.
    """
    if len(arrays) == 1 and isinstance(mapping := arrays[0], Mapping):
        arrays, by_name = [], {**mapping, **by_name}
    names = [entry.name for entry in entries]
    unknown = [name for name in by_name if name not in names]
    if unknown:
        raise InvalidInputError(f"no input is named {unknown[0]!r}; the inputs are {_list(entries)}")
    if len(arrays) > len(entries):
        raise InvalidInputError(f"needed {len(entries)} inputs ({_list(entries)}), found {len(arrays)}")
    given = dict(zip(names, arrays, strict=False))
    twice = [name for name in given if name in by_name]
    if twice:
        raise InvalidInputError(f"input {twice[0]!r} is given twice, by position and by name: give it once")
    given |= by_name
    missing = [str(entry) for entry in entries if entry.name not in given]
    if missing:
        raise InvalidInputError(f"input {missing[0]} is missing; found {len(given)} of {len(entries)} inputs")
    dimensions: dict[str, tuple[int, str]] = {}
    return [_check(entry, given[entry.name], dimensions) for entry in entries]


def _check(entry: TensorEntry, value: Any, dimensions: dict[str, tuple[int, str]]) -> np.ndarray:
    """One input; `dimensions` remembers the length that each named dimension got, and from which input."""
    import numpy as np

    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(f"input {entry} needs a NumPy array, found {type(value).__name__}: {error}") from error
    wanted = numpy_dtype(entry.dtype)
    if array.dtype != wanted:
        raise InvalidInputError(
            f"input {entry.name!r} needs dtype {entry.dtype}, found {_dtype_name(array.dtype)}: convert it with "
            f".astype({entry.dtype!r})"
        )
    if len(array.shape) != len(entry.shape):
        raise InvalidInputError(f"input {entry.name!r} needs shape {_shape(entry.shape)}, found {_shape(array.shape)}")
    for axis, (wanted_length, length) in enumerate(zip(entry.shape, array.shape, strict=True)):
        if isinstance(wanted_length, str):
            first, source = dimensions.setdefault(wanted_length, (length, entry.name))
            if first != length:
                raise InvalidInputError(
                    f"input {entry.name!r} has length {length} in dimension {axis} ({wanted_length}), but input "
                    f"{source!r} has {first}: one name stands for one length"
                )
        elif wanted_length != length:
            raise InvalidInputError(
                f"input {entry.name!r} needs shape {_shape(entry.shape)}, found {_shape(array.shape)}"
            )
    return np.asarray(array, order="C")


def _list(entries: Sequence[TensorEntry]) -> str:
    return ", ".join(map(str, entries)) or "none"


def _shape(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _dtype_name(dtype: np.dtype) -> str:
    return dtype.name if dtype.isnative else f"{dtype.name} in foreign byte order"
