"""Which ONNX element types can be values of a compiled model."""

from __future__ import annotations

import numpy as np
import onnx

from edgecompile.errors import UnsupportedModelError

SUPPORTED = frozenset(
    [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
    ]
)


def name_of(element_type: int) -> str:
    """The NumPy name of ONNX's `element_type`, or ONNX's own name in lower case where NumPy has none."""
    try:
        return str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element_type))) if element_type != 8 else "string"
    except (KeyError, TypeError):
        return str(element_type)


def require_supported(element_type: int, what: str) -> str:
    """The NumPy name of `element_type`; raises `UnsupportedModelError` naming `what` where it cannot be compiled."""
    name = name_of(element_type)
    if name not in SUPPORTED:
        raise UnsupportedModelError(
            f"{what}: a dtype among {', '.join(sorted(SUPPORTED))} was needed, found {name}; cast it in the model"
        )
    return name


def element_type_of(name: str) -> int:
    """ONNX's element type for the dtype called `name` in NumPy or `ml_dtypes`."""
    if name == "bfloat16":
        return int(onnx.TensorProto.BFLOAT16)
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(name)))
