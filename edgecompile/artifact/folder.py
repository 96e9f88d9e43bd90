"""`Folder`: an artifact's files, none of which is believed before its checksum was computed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from edgecompile.artifact.manifest import MANIFEST_NAME, FileEntry, Manifest, decode
from edgecompile.errors import InvalidArtifactError

MANIFEST_LIMIT_BYTES = 16 * 2**20  # a thousand inputs and files need less than one
_BLOCK_BYTES = 1 << 20


class Folder:
    """An artifact directory whose manifest was read.

    Args:
        path: the directory.

    Raises:
        InvalidArtifactError: there is no artifact at `path`, or its manifest is not as it was written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.manifest = self._read_manifest()

    def check(self) -> None:
        """Compare all files with the manifest: none missing, none added, none changed.

        Raises:
            InvalidArtifactError: the first difference, by file name.
        """
        found = set(self._names())
        listed = {MANIFEST_NAME, *self.manifest.files}
        for name in sorted(listed - found):
            raise InvalidArtifactError(f"{self.path} lacks {name}, which its manifest lists: compile the model again")
        for name in sorted(found - listed):
            raise InvalidArtifactError(f"{self.path} holds {name!r:.200}, which its manifest does not list: remove it")
        for name in sorted(self.manifest.files):
            self._consume(name, lambda block: None)

    def read(self, name: str) -> bytes:
        """The content of one file, checked as it is read.

        Raises:
            InvalidArtifactError: it is not what the manifest says.
        """
        blocks: list[bytes] = []
        self._consume(name, blocks.append)
        return b"".join(blocks)

    def copy(self, name: str, descriptor: int) -> None:
        """Write the content of one file to `descriptor`; what was written is what was checked.

        Raises:
            InvalidArtifactError: it is not what the manifest says.
        """

        def write(block: bytes) -> None:
            view = memoryview(block)
            while view:
                view = view[os.write(descriptor, view) :]

        self._consume(name, write)

    def _read_manifest(self) -> Manifest:
        if not self.path.is_dir():
            found = "a file" if self.path.exists() else "nothing"
            raise InvalidArtifactError(f"{self.path} must be a folder that `edgecompile compile` wrote, found {found}")
        descriptor = self._open(MANIFEST_NAME)
        try:
            size = os.fstat(descriptor).st_size
            if size > MANIFEST_LIMIT_BYTES:
                raise InvalidArtifactError(
                    f"{MANIFEST_NAME} has {size} bytes, more than the {MANIFEST_LIMIT_BYTES} that are read: "
                    "compile the model again"
                )
            data = b"".join(self._blocks(MANIFEST_NAME, descriptor, size))
        finally:
            os.close(descriptor)
        return decode(data)

    def _consume(self, name: str, receive: Callable[[bytes], object]) -> None:
        """Pass one file block by block to `receive`, then compare size and hash with the manifest."""
        entry: FileEntry = self.manifest.files[name]
        digest = hashlib.sha256()
        descriptor = self._open(name)
        try:
            size = os.fstat(descriptor).st_size
            if size != entry.bytes:
                raise InvalidArtifactError(
                    f"{self.path / name} has {size} bytes, its manifest says {entry.bytes}: compile the model again"
                )
            for block in self._blocks(name, descriptor, entry.bytes):
                digest.update(block)
                receive(block)
        finally:
            os.close(descriptor)
        if digest.hexdigest() != entry.sha256:
            raise InvalidArtifactError(
                f"{self.path / name} was changed since it was written (its SHA-256 differs from the manifest's): "
                "compile the model again"
            )

    def _open(self, name: str) -> int:
        """A descriptor of a regular file inside the folder, reached through no symbolic link."""
        *parents, last = PurePosixPath(name).parts
        common = os.O_RDONLY | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, common | os.O_DIRECTORY)
            for parent in parents:
                descriptor = _step(descriptor, parent, common | os.O_DIRECTORY | os.O_NOFOLLOW)
            # O_NONBLOCK: a named pipe must not block us before it is refused.
            descriptor = _step(descriptor, last, common | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise InvalidArtifactError(_explain(error, self.path, name)) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InvalidArtifactError(f"{self.path / name} is no regular file: compile the model again")
        return descriptor

    def _blocks(self, name: str, descriptor: int, count: int) -> Iterator[bytes]:
        """At most `count` bytes of an open file."""
        while count:
            try:
                block = os.read(descriptor, min(count, _BLOCK_BYTES))
            except OSError as error:
                raise InvalidArtifactError(_explain(error, self.path, name)) from error
            if not block:
                return
            yield block
            count -= len(block)

    def _names(self) -> Iterator[str]:
        """Every file of the folder, and every folder that holds none, by its path inside."""
        allowed = {str(parent) for name in self.manifest.files for parent in PurePosixPath(name).parents}
        for root, folders, files in os.walk(self.path, onerror=_raise_unreadable):
            for name in files:
                yield Path(root, name).relative_to(self.path).as_posix()
            for name in list(folders):
                inside = Path(root, name).relative_to(self.path).as_posix()
                if inside not in allowed or Path(root, name).is_symlink():
                    folders.remove(name)  # reported as a whole; a huge foreign tree is not walked
                    yield inside


def _step(parent: int, name: str, flags: int) -> int:
    """Open `name` in the folder `parent`, and close the latter."""
    try:
        return os.open(name, flags, dir_fd=parent)
    finally:
        os.close(parent)


def _explain(error: OSError, path: Path, name: str) -> str:
    if error.errno == errno.ENOENT:
        return f"{path} lacks {name}: it is no artifact, or incomplete; compile the model again"
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return f"{path / name} leads through a symbolic link, which an artifact must not hold: compile the model again"
    return f"{path / name} cannot be read: {error.strerror}"


def _raise_unreadable(error: OSError) -> None:
    raise InvalidArtifactError(f"{error.filename} cannot be read: {error.strerror}") from error
