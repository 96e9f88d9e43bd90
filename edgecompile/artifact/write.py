"""Writing an artifact: beside its place, complete, and only then under its name."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edgecompile.artifact.manifest import MANIFEST_NAME, Facts, FileEntry, Manifest, complete
from edgecompile.errors import OutputError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_RENAME_EXCHANGE = 2  # linux/fs.h
_AT_FDCWD = -100  # fcntl.h
_ABANDONED_SECONDS = 60  # a folder is made a moment before it is locked


@contextlib.contextmanager
def staging(out: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside `out`, which becomes `out` when the block ends well and vanishes when it does not.

    An artifact already at `out` stays whole until the new one is on the disk, then the two are exchanged. What a killed
    process left behind is removed by the next writer to the same place.

    Raises:
        OutputError: there is no space or no permission, or `out` is something else than an artifact.
    """
    place = Path(os.path.realpath(out))
    created: list[Path] = []
    try:
        _refuse_other_things(place)
        created = _make_parents(place.parent)
        _remove_abandoned(place)
        with _temporary_folder(place) as folder:
            yield folder
            _make_durable(folder)
            _move(folder, place)
        created = []
    except OSError as error:
        if error.errno in _NO_ROOM or _is_about(error, place):
            raise OutputError(f"cannot write {place}: {error.strerror or error}") from error
        raise
    finally:
        for parent in created:
            with contextlib.suppress(OSError):
                parent.rmdir()


def seal(folder: Path, facts: Facts) -> Manifest:
    """Hash every file of `folder` and write `manifest.json`, the last file of an artifact; one from before is replaced.

    Raises:
        OutputError: the folder holds a link or a special file, or cannot be written.
    """
    files: dict[str, FileEntry] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise OutputError(f"{path.relative_to(folder)} is neither a file nor a folder, so it cannot be shipped")
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST_NAME:
            files[name] = FileEntry(sha256=_sha256(path), bytes=path.stat().st_size)
    manifest = complete(facts, files)
    (folder / MANIFEST_NAME).write_bytes(manifest.encode())
    return manifest


def write_file(path: Path, data: bytes) -> None:
    """Write one file, whole or not at all.

    Raises:
        OutputError: there is no space or no permission.
    """
    place = Path(os.path.realpath(path))
    try:
        descriptor, name = tempfile.mkstemp(prefix=_prefix(place), suffix=".partial", dir=place.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).rename(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _refuse_other_things(place: Path) -> None:
    """Replace only what is an artifact, so that a wrong `-o` never costs a user's folder."""
    if place == place.parent:
        raise OutputError(f"{place} is the root folder: name a new folder")
    if place.is_dir():
        if not (place / MANIFEST_NAME).is_file() and any(place.iterdir()):
            raise OutputError(f"{place} exists and is not an artifact: name a new folder or remove it first")
    elif os.path.lexists(place):
        raise OutputError(f"{place} exists and is not a folder: name a new folder or remove it first")


def _make_parents(folder: Path) -> list[Path]:
    """Make the missing folders down to `folder`; the result lists them, innermost first."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    made: list[Path] = []
    try:
        for parent in reversed(missing):
            parent.mkdir()
            made.insert(0, parent)
    except BaseException:
        for parent in made:
            parent.rmdir()
        raise
    return made


@contextlib.contextmanager
def _temporary_folder(place: Path) -> Iterator[Path]:
    """A folder beside `place`, locked while this process lives and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=_prefix(place), suffix=".partial", dir=place.parent))
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(place: Path) -> None:
    """Remove the folders of writers that were killed: nobody holds their lock."""
    for folder in place.parent.glob(f"{glob.escape(_prefix(place))}*.partial"):
        with contextlib.suppress(OSError), _locked(folder):
            if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; raises OSError where another process does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _make_durable(folder: Path) -> None:
    """Give every file its final permissions and have it on the disk, so that a power cut cannot leave a shell."""
    mask = _umask()
    for path in [folder, *folder.rglob("*")]:
        runs = path.is_dir() or path.suffix == ".so"
        path.chmod((0o777 if runs else 0o666) & ~mask)
        _sync(path)


def _umask() -> int:
    mask = os.umask(0o077)  # there is no way to ask but to set it
    os.umask(mask)
    return mask


def _move(folder: Path, place: Path) -> None:
    """Rename `folder` to `place`; what was at `place` is afterwards at `folder`, to be removed."""
    if not place.exists():
        folder.rename(place)
    elif not _exchange(folder, place):
        # Not every file system can exchange. Between these two renames there is no artifact, but never half a one.
        aside = folder.with_suffix(".old")
        place.rename(aside)
        try:
            folder.rename(place)
        except BaseException:
            aside.rename(place)
            raise
        aside.rename(folder)
    _sync(place.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step, where the kernel and the file system can."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    status = renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    if status == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(second))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _is_about(error: OSError, place: Path) -> bool:
    """True when the failed call was about `place`, a folder above it, or something in a staging folder of it."""
    if not isinstance(error.filename, (str, bytes)):
        return False
    path = Path(os.fsdecode(error.filename))
    staged = any(part.startswith(_prefix(place)) for part in path.parts)
    return staged or path == place or path in place.parents


def _prefix(place: Path) -> str:
    return f".{place.name[:64]}."
