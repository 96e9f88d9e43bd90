"""The container: a zip archive of three uncompressed members, always with the same bytes for the same content.

Everything about the archive but the members' content is fixed, so a reader that insists on it leaves no room for path
names, bombs, or two readers that see different files.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

from edgecompile.errors import InvalidModelError
from edgecompile.settings import LIMITS

DESCRIPTION, MODULE, WEIGHTS = MEMBERS = ("model.json", "module.json", "weights.safetensors")

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can say; the time of writing would differ
_END = struct.Struct("<4s4H2LH")
_DIRECTORY_BYTES = 512  # three entries need less than 200


@dataclass(frozen=True)
class MemberLimits:
    """The most bytes of each text that are parsed: BERT-base needs 20 kB and 1 MB."""

    description: int = 16 * 2**20
    module: int = 64 * 2**20


MEMBER_LIMITS = MemberLimits()


def pack(contents: Mapping[str, bytes]) -> bytes:
    """The archive of the three members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in MEMBERS:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, wherever it is written
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, contents[name])
    return buffer.getvalue()


def unpack(data: bytes, name: str) -> dict[str, bytes]:
    """The members' content, by member.

    Args:
        data: of the file; at most `LIMITS.model_file_bytes`, which the caller has checked.
        name: of the file, for errors.

    Raises:
        InvalidModelError: it is not exactly what `pack` writes, or a text is too long to be parsed.
    """
    _check_end(data, name)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = [entry.filename for entry in archive.infolist()]
            if found != list(MEMBERS):
                raise InvalidModelError(
                    f"{name} must hold {', '.join(MEMBERS)}, found {', '.join(map(repr, found)):.200}; compress the "
                    "model again"
                )
            for entry in archive.infolist():
                _check_entry(entry, len(data), name)
            return {entry.filename: archive.read(entry) for entry in archive.infolist()}
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        struct.error,
        ValueError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise InvalidModelError(f"{name} is damaged: {error}; compress the model again") from error


def _check_end(data: bytes, name: str) -> None:
    """Refuse, before any list is made, an archive whose directory is not that of three short names."""
    if len(data) < _END.size:
        raise InvalidModelError(f"{name} has {len(data)} bytes and is no model; compress the model again")
    signature, disk, first_disk, here, entries, size, offset, comment = _END.unpack(data[-_END.size :])
    expected = (b"PK\x05\x06", 0, 0, len(MEMBERS), len(MEMBERS), 0)
    found = (signature, disk, first_disk, here, entries, comment)
    if found != expected or size > _DIRECTORY_BYTES or offset + size + _END.size != len(data):
        raise InvalidModelError(
            f"{name} is not the archive that `edgecompile compress` writes, or was changed; compress the model again"
        )


def _check_entry(entry: zipfile.ZipInfo, file_bytes: int, name: str) -> None:
    limits = {DESCRIPTION: MEMBER_LIMITS.description, MODULE: MEMBER_LIMITS.module, WEIGHTS: LIMITS.model_file_bytes}
    stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
    if not stored or entry.flag_bits or entry.file_size > file_bytes:
        raise InvalidModelError(f"{name}: {entry.filename} must be stored as it is; compress the model again")
    if entry.file_size > limits[entry.filename]:
        raise InvalidModelError(
            f"{name}: {entry.filename} has {entry.file_size} bytes, at most {limits[entry.filename]} are read"
        )
