"""The weights as a safetensors file, in every dtype that a constant can have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgecompile.artifact.dtypes import DTYPE_NAMES, numpy_dtype
from edgecompile.errors import InvalidModelError, UnsupportedModelError

if TYPE_CHECKING:
    import numpy as np

_NAMES = {
    "bool": "BOOL",
    "int8": "I8",
    "uint8": "U8",
    "int16": "I16",
    "uint16": "U16",
    "int32": "I32",
    "uint32": "U32",
    "int64": "I64",
    "uint64": "U64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}
assert tuple(_NAMES) == DTYPE_NAMES


def encode(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a safetensors file; the same for the same arrays.

    Raises:
        UnsupportedModelError: an array's dtype has no place in such a file.
    """
    import numpy as np
    from safetensors.numpy import save

    for name, array in arrays.items():
        if array.dtype.name not in _NAMES:
            raise UnsupportedModelError(
                f"{name!r} of the dtype {array.dtype.name} cannot be written, only {', '.join(_NAMES)}"
            )
    # `ascontiguousarray` would make a vector of a scalar.
    return save({name: np.require(array, requirements="C") for name, array in arrays.items()})


def decode(data: bytes, name: str) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, by name.

    Args:
        data: of the file.
        name: of the file that it is a part of, for errors.

    Raises:
        InvalidModelError: it is no such file, or holds another dtype.
    """
    import numpy as np
    import safetensors

    dtypes = {theirs: ours for ours, theirs in _NAMES.items()}
    try:
        tensors = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise InvalidModelError(f"{name}: the weights cannot be read: {error}; compress the model again") from error
    arrays = {}
    for key, tensor in tensors:
        if tensor["dtype"] not in dtypes:
            raise InvalidModelError(f"{name}: weights of the dtype {tensor['dtype']!r:.20} cannot be read")
        dtype = numpy_dtype(dtypes[tensor["dtype"]])
        arrays[key] = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    return arrays
