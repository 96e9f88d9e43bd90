"""Reading calibration data from files."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompile.errors import InvalidCalibrationError
from edgecompile.frontend.model import TensorSpec

if TYPE_CHECKING:
    import numpy as np

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png")
SUFFIXES = (*IMAGE_SUFFIXES, ".npy", ".npz")


def data_files(path: Path) -> list[Path]:
    """The files of a folder that hold data, by name, or the one file; others in the folder are passed over.

    Raises:
        InvalidCalibrationError: there are none, the path cannot be read, or a link leads out of the folder.
    """
    if not path.is_dir():
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            raise InvalidCalibrationError(f"calibration data must be a folder or a file of {_SUFFIXES}, found {path}")
        return [path]
    try:
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    except OSError as error:
        raise InvalidCalibrationError(f"{path} cannot be read: {error.strerror or error}") from error
    if not found:
        raise InvalidCalibrationError(f"calibration needs files of {_SUFFIXES}, found none in {path}")
    root = path.resolve()
    for file in found:
        if file.is_symlink() and not file.resolve().is_relative_to(root):
            raise InvalidCalibrationError(f"{file} links to a file outside of its folder: put a copy there")
    return found


def read_file(file: Path, inputs: Sequence[TensorSpec]) -> np.ndarray | dict[str, np.ndarray]:
    """One array, for the only input, or arrays by input name. A large `.npy` is mapped, not read.

    Raises:
        InvalidCalibrationError: the file is damaged, or holds Python objects, which would run code when read.
    """
    if file.suffix.lower() in IMAGE_SUFFIXES:
        from edgecompile.compress.samples.images import read_image

        return read_image(file, inputs)
    return _read_numpy(file)


def _read_numpy(file: Path) -> Any:
    import numpy as np

    is_archive = file.suffix.lower() == ".npz"
    try:
        loaded = np.load(file, allow_pickle=False, mmap_mode=None if is_archive else "r")
        if isinstance(loaded, np.lib.npyio.NpzFile) != is_archive:
            raise InvalidCalibrationError(f"{file} is no {file.suffix} file: name it by what it is")
        if not is_archive:
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InvalidCalibrationError(f"{file} cannot be read as numbers: {reason}") from error


_SUFFIXES = ", ".join(SUFFIXES)
