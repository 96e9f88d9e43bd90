"""The C interface by ctypes, as an app in another language would use it."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

import numpy as np

(
    OK,
    INVALID_ARGUMENT,
    OUT_OF_MEMORY,
    WEIGHTS_MISSING,
    WEIGHTS_CORRUPT,
    WRONG_CPU,
    THREADS_FAILED,
    WRONG_VERSION,
    INTERNAL,
) = range(9)


class TensorInfo(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("dtype", c_int),
        ("rank", c_int32),
        ("shape", POINTER(c_int64)),
        ("bytes", c_size_t),
        ("scale", c_float),
        ("zero_point", c_int32),
    ]


class Options(ctypes.Structure):
    _fields_ = [
        ("abi_version", c_uint32),
        ("threads", c_int32),
        ("weights_path", c_char_p),
        ("weights", c_void_p),
        ("weights_bytes", c_size_t),
        ("arena", c_void_p),
        ("arena_bytes", c_size_t),
        ("profile", c_int32),
    ]


def aligned(values: np.ndarray, offset: int = 0) -> np.ndarray:
    """A copy whose first byte lies `offset` bytes after a multiple of 64."""
    storage = np.empty(values.nbytes + 128, "uint8")
    start = -storage.ctypes.data % 64 + offset
    copy = storage[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


class Library:
    """One loaded `lib<name>.so`."""

    def __init__(self, path: Path, name: str) -> None:
        self.c = ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)
        signatures = {
            "ec_last_error": (c_char_p, []),
            "ec_network_name": (c_char_p, [c_void_p]),
            "ec_network_target": (c_char_p, [c_void_p]),
            "ec_input_count": (c_size_t, [c_void_p]),
            "ec_output_count": (c_size_t, [c_void_p]),
            "ec_input": (POINTER(TensorInfo), [c_void_p, c_size_t]),
            "ec_output": (POINTER(TensorInfo), [c_void_p, c_size_t]),
            "ec_arena_bytes": (c_size_t, [c_void_p]),
            "ec_weights_bytes": (c_size_t, [c_void_p]),
            "ec_open": (c_int, [c_void_p, POINTER(Options), POINTER(c_void_p)]),
            "ec_run": (c_int, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
            "ec_close": (None, [c_void_p]),
            "ec_step_count": (c_size_t, [c_void_p]),
            "ec_step_name": (c_char_p, [c_void_p, c_size_t]),
            "ec_step_nanoseconds": (POINTER(c_uint64), [c_void_p]),
            f"{name}_network": (c_void_p, []),
        }
        for symbol, (result, arguments) in signatures.items():
            function = getattr(self.c, symbol)
            function.restype, function.argtypes = result, arguments
        self.network = getattr(self.c, f"{name}_network")()

    @property
    def last_error(self) -> str:
        return self.c.ec_last_error().decode()

    def open(self, **options: object) -> tuple[int, c_void_p]:
        """Status and instance."""
        given = Options(**{"abi_version": 1, "threads": 1, **options})
        instance = c_void_p()
        return self.c.ec_open(self.network, ctypes.byref(given), ctypes.byref(instance)), instance

    def run(self, instance: c_void_p, x: np.ndarray, y: np.ndarray) -> int:
        """Status of one inference on one input and one output."""
        return self.c.ec_run(instance, (c_void_p * 1)(x.ctypes.data), (c_void_p * 1)(y.ctypes.data))
