"""`edgecompile.h` for ctypes: the same structures and functions in the same order."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from edgecompile.artifact.dtypes import DTYPE_NAMES
from edgecompile.artifact.manifest import Manifest, TensorEntry
from edgecompile.errors import (
    EdgeCompileError,
    InvalidArtifactError,
    RuntimeFailureError,
    WrongMachineError,
)

ABI_VERSION = 1

_ERRORS: dict[int, type[EdgeCompileError]] = {
    3: InvalidArtifactError,  # EC_WEIGHTS_MISSING
    4: InvalidArtifactError,  # EC_WEIGHTS_CORRUPT
    5: WrongMachineError,  # EC_WRONG_CPU
}


class TensorInfo(ctypes.Structure):
    """`ec_tensor_info`."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_int),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("bytes", ctypes.c_size_t),
        ("scale", ctypes.c_float),
        ("zero_point", ctypes.c_int32),
    )


class Options(ctypes.Structure):
    """`ec_options`."""

    _fields_ = (
        ("abi_version", ctypes.c_uint32),
        ("threads", ctypes.c_int32),
        ("weights_path", ctypes.c_char_p),
        ("weights", ctypes.c_void_p),
        ("weights_bytes", ctypes.c_size_t),
        ("arena", ctypes.c_void_p),
        ("arena_bytes", ctypes.c_size_t),
        ("profile", ctypes.c_int32),
    )


_POINTER = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[object, tuple[object, ...]]] = {
    "ec_abi_version": (ctypes.c_uint32, ()),
    "ec_last_error": (ctypes.c_char_p, ()),
    "ec_network_name": (ctypes.c_char_p, (_POINTER,)),
    "ec_input_count": (ctypes.c_size_t, (_POINTER,)),
    "ec_output_count": (ctypes.c_size_t, (_POINTER,)),
    "ec_input": (ctypes.POINTER(TensorInfo), (_POINTER, ctypes.c_size_t)),
    "ec_output": (ctypes.POINTER(TensorInfo), (_POINTER, ctypes.c_size_t)),
    "ec_open": (ctypes.c_int, (_POINTER, ctypes.POINTER(Options), ctypes.POINTER(_POINTER))),
    "ec_run": (ctypes.c_int, (_POINTER, ctypes.POINTER(_POINTER), ctypes.POINTER(_POINTER))),
    "ec_close": (None, (_POINTER,)),
    "ec_step_count": (ctypes.c_size_t, (_POINTER,)),
    "ec_step_name": (ctypes.c_char_p, (_POINTER, ctypes.c_size_t)),
    "ec_step_nanoseconds": (ctypes.POINTER(ctypes.c_uint64), (_POINTER,)),
}


class Network:
    """The one network of a loaded library; not to be called once the library is unloaded.

    Args:
        symbols: the library.
        manifest: what the library must hold; buffers are sized by it, and another library would write beyond them.

    Attributes:
        steps: the kernel calls of one inference.

    Raises:
        InvalidArtifactError: the library is of another interface version, or not the one of the manifest.
    """

    def __init__(self, symbols: ctypes.CDLL, manifest: Manifest) -> None:
        self.api = symbols
        try:
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(symbols, name)
                function.restype, function.argtypes = result, arguments
            entry = getattr(symbols, f"{manifest.name}_network")
        except AttributeError as error:
            raise InvalidArtifactError(f"{manifest.library} is no library of edgecompile's: {error}") from error
        if symbols.ec_abi_version() != ABI_VERSION:
            raise InvalidArtifactError(
                f"{manifest.library} has interface version {symbols.ec_abi_version()}, needed {ABI_VERSION}: "
                "compile the model again"
            )
        entry.restype, entry.argtypes = _POINTER, ()
        self.handle = entry()
        self._compare(manifest.library, manifest.inputs, symbols.ec_input_count, symbols.ec_input)
        self._compare(manifest.library, manifest.outputs, symbols.ec_output_count, symbols.ec_output)
        count = symbols.ec_step_count(self.handle)
        self.steps = tuple(symbols.ec_step_name(self.handle, step).decode("utf-8", "replace") for step in range(count))

    def open(self, threads: int, weights: bytes | None, *, profile: bool) -> ctypes.c_void_p:
        """`ec_open`; `weights` is a path in the file system's encoding, None where they are embedded."""
        instance = _POINTER()
        options = Options(abi_version=ABI_VERSION, threads=threads, weights_path=weights, profile=int(profile))
        self.check(self.api.ec_open(self.handle, ctypes.byref(options), ctypes.byref(instance)))
        return instance

    def check(self, status: int) -> None:
        """Turn a status other than EC_OK into the typed error of its kind, with `ec_last_error`'s text."""
        if status != 0:
            text = (self.api.ec_last_error() or b"").decode("utf-8", "replace")
            raise _ERRORS.get(status, RuntimeFailureError)(text or f"the library failed with status {status}")

    def _compare(
        self,
        library: str,
        entries: Sequence[TensorEntry],
        count: ctypes._NamedFuncPointer,
        at: ctypes._NamedFuncPointer,
    ) -> None:
        found = [_describe(at(self.handle, index).contents) for index in range(count(self.handle))]
        expected = [(entry.name, entry.dtype, entry.shape) for entry in entries]
        if found != expected:
            raise InvalidArtifactError(f"{library} is not the library of this manifest: compile the model again")


def _describe(info: TensorInfo) -> tuple[str, str, tuple[int, ...]]:
    dtype = DTYPE_NAMES[info.dtype] if 0 <= info.dtype < len(DTYPE_NAMES) else ""
    return info.name.decode("utf-8", "replace"), dtype, tuple(info.shape[index] for index in range(info.rank))
