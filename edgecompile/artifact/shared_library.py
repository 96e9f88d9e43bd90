"""Loading the very bytes of a library that were checked."""

from __future__ import annotations

import _ctypes
import ctypes
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from edgecompile.artifact.folder import Folder
from edgecompile.errors import RuntimeFailureError


class SharedLibrary:
    """An artifact's library in this process.

    The file in the artifact's folder is not what is loaded: it could be exchanged between check and load. Its bytes are
    copied to memory while they are hashed, sealed there, and loaded from there.

    Args:
        folder: the artifact.
        name: the library's name in it.

    Raises:
        InvalidArtifactError: the file is not what the manifest says.
        RuntimeFailureError: the dynamic loader refuses it.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._descriptor = _sealed_copy(folder, name)
        try:
            self._descriptor = _with_new_path(self._descriptor)
            self.symbols = ctypes.CDLL(_path_of(self._descriptor), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            os.close(self._descriptor)
            raise RuntimeFailureError(f"{folder.path / name} cannot be loaded: {error}") from error

    def close(self) -> None:
        """Unload; nothing that came from `symbols` may be used afterwards."""
        _ctypes.dlclose(self.symbols._handle)
        os.close(self._descriptor)


class PrivateCopy:
    """A checked copy of one file under a path of its own, for loaders that want a name on a disk.

    Args:
        folder: the artifact.
        name: the file's name in it; the copy has the same.

    Raises:
        InvalidArtifactError: the file is not what the manifest says.
        RuntimeFailureError: the folder for temporary files cannot take the copy.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="edgecompile-"))  # nobody else's: mode 0700
        self.path = self._directory / Path(name).name
        try:
            with self.path.open("xb") as file:
                folder.copy(name, file.fileno())
        except OSError as error:
            self.close()
            raise RuntimeFailureError(
                f"{folder.path / name} cannot be copied to {self.path}: {error.strerror}"
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the copy."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _sealed_copy(folder: Folder, name: str) -> int:
    descriptor = os.memfd_create(Path(name).name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        folder.copy(name, descriptor)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _path_of(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _with_new_path(descriptor: int) -> int:
    """Move to a descriptor whose path names no loaded library.

    The loader answers a path that it has seen with the library it loaded then, and a library that could not be unloaded
    keeps the path of a descriptor that was closed and given out again.
    """
    outgrown: list[int] = []
    try:
        while _is_loaded(_path_of(descriptor)):
            outgrown.append(descriptor)
            descriptor = os.dup(descriptor)
    finally:
        for old in outgrown:
            os.close(old)
    return descriptor


def _is_loaded(path: str) -> bool:
    try:
        library = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_NOLOAD)
    except OSError:
        return False
    _ctypes.dlclose(library._handle)
    return True
