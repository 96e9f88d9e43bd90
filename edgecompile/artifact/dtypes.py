"""The element types of inputs and outputs: their names, their numbers in `edgecompile.h`, and their NumPy types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import numpy as np

DtypeName = Literal[
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
]

#: `ec_dtype` of edgecompile.h lists the same names in the same order, from zero.
DTYPE_NAMES: tuple[str, ...] = get_args(DtypeName)


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy type of that name, in this machine's byte order; bfloat16 is the one of `ml_dtypes`."""
    import numpy as np

    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def is_floating(name: str) -> bool:
    """True for the types whose results may differ in the last bits between machines."""
    return name.endswith(("float16", "float32", "float64"))
