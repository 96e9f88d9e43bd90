"""Which PyTorch dtypes have a counterpart in the IR."""

from __future__ import annotations

import numpy as np
import torch

from edgecompile.errors import UnsupportedModelError

_RELAX_NAMES: dict[torch.dtype, str] = {
    torch.bool: "bool",
    torch.int8: "int8",
    torch.uint8: "uint8",
    torch.int16: "int16",
    torch.uint16: "uint16",
    torch.int32: "int32",
    torch.uint32: "uint32",
    torch.int64: "int64",
    torch.uint64: "uint64",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.float64: "float64",
}


def is_supported(dtype: torch.dtype) -> bool:
    """True where the IR can hold the dtype; complex, quantized and sub-byte ones it cannot."""
    return dtype in _RELAX_NAMES


def relax_dtype(dtype: torch.dtype) -> str:
    """The IR's (and NumPy's) name of a PyTorch dtype.

    Raises:
        UnsupportedModelError: the IR has no such dtype.
    """
    if dtype not in _RELAX_NAMES:
        raise UnsupportedModelError(
            f"a tensor has dtype {dtype}, which the compiler does not have; cast it to float32 or an integer dtype"
        )
    return _RELAX_NAMES[dtype]


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A dense copy of the tensor on the CPU, bfloat16 as `ml_dtypes.bfloat16`."""
    dense = tensor.detach().to("cpu").to_dense() if tensor.layout != torch.strided else tensor.detach().to("cpu")
    dense = dense.resolve_conj().resolve_neg().contiguous()
    if dense.dtype == torch.bfloat16:
        import ml_dtypes

        return dense.view(torch.int16).numpy().copy().view(ml_dtypes.bfloat16)
    return dense.numpy().copy()


def from_numpy(array: np.ndarray) -> torch.Tensor:
    """The tensor that `to_numpy` came from."""
    contiguous = np.ascontiguousarray(array).reshape(array.shape)
    if contiguous.dtype.name == "bfloat16":
        return torch.from_numpy(contiguous.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(contiguous.copy())
