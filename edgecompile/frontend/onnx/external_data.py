"""Reads tensors that an ONNX model keeps in files beside it, and refuses every path or range that could leave them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx

from edgecompile.errors import InvalidModelError
from edgecompile.settings import LIMITS

Refuse = Callable[[str], InvalidModelError]
# A link put in place of the file after it was looked at is not followed, and a named pipe does not wait for a writer.
_OPEN_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})


def is_external(tensor: onnx.TensorProto) -> bool:
    """True when the tensor's bytes are in another file."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL


def read_external(tensor: onnx.TensorProto, folder: Path | None) -> np.ndarray:
    """The array of an external tensor: a regular file under `folder` that holds the range it claims.

    Raises:
        InvalidModelError: naming the tensor and what is unsafe or missing.
    """

    def refuse(found: str) -> InvalidModelError:
        return InvalidModelError(
            f"external data of tensor '{tensor.name}': a regular file in the model's folder was needed, found {found}"
        )

    if folder is None:
        raise refuse("a model without a folder; load the model by its path, or embed its weights")
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if not set(entries) <= _KEYS or len(entries) != len(tensor.external_data):
        raise refuse(f"the keys {sorted(entry.key for entry in tensor.external_data)}")
    dtype = _element_dtype(tensor)
    needed = int(np.prod(tensor.dims, dtype=object)) * dtype.itemsize
    offset = _number(entries.get("offset", "0"), "offset", refuse)
    length = _number(entries.get("length", str(needed)), "length", refuse)
    if length != needed:
        raise refuse(f"a length of {length} bytes where shape and dtype need {needed}")
    if needed > LIMITS.external_data_bytes:
        raise refuse(f"{needed} bytes, above the limit of {LIMITS.external_data_bytes}")
    path = _safe_path(entries.get("location", ""), folder, refuse)
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError as error:
        raise refuse(f"'{path.name}', which cannot be opened ({error.strerror})") from error
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)  # of what was opened, not of what the name may mean by now
        if not stat.S_ISREG(facts.st_mode):
            raise refuse(f"'{path.name}', which is not a regular file")
        if facts.st_nlink != 1:
            raise refuse(f"'{path.name}', which has {facts.st_nlink} hard links")
        if offset + length > facts.st_size:
            raise refuse(f"'{path.name}' of {facts.st_size} bytes, too short for offset {offset} and length {length}")
        return np.fromfile(file, dtype=dtype, count=length // dtype.itemsize, offset=offset).reshape(tuple(tensor.dims))


def _element_dtype(tensor: onnx.TensorProto) -> np.dtype:
    packed = {"INT4", "UINT4", "INT2", "UINT2", "FLOAT4E2M1", "STRING", "UNDEFINED"}
    name = onnx.TensorProto.DataType.Name(tensor.data_type)
    if name in packed:
        raise InvalidModelError(
            f"external data of tensor '{tensor.name}': a dtype of whole bytes was needed, found {name}; embed it"
        )
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))


def _number(text: str, what: str, refuse: Refuse) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise refuse(f"the {what} '{text[:40]}'")
    return int(text)


def _safe_path(location: str, folder: Path, refuse: Refuse) -> Path:
    """The path of `location` under `folder`, after every component was seen not to be a link."""
    parts = PurePosixPath(location).parts
    if not location or "\0" in location or "\\" in location or PureWindowsPath(location).drive:
        raise refuse(f"the location '{location[:80]}'")
    if PurePosixPath(location).is_absolute() or ".." in parts or not parts:
        raise refuse(f"the location '{location[:80]}', which leaves it")
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise refuse(f"the symbolic link '{part}'")
    if not path.exists():
        raise refuse(f"no file '{location[:80]}'; put it beside the model")
    if folder.resolve() not in path.resolve().parents:
        raise refuse(f"the location '{location[:80]}', which leaves it")
    return path
