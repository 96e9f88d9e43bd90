"""The container: a zip archive of three uncompressed members, with one possible spelling.

Any zip tool opens it. Our reader takes nothing but the bytes that `pack` would write: there is no room for path names,
bombs, or two readers that see different files.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from edgecompile.errors import InvalidModelError

DESCRIPTION, MODULE, WEIGHTS = MEMBERS = ("model.json", "module.json", "weights.safetensors")

TEXT_LIMITS = {DESCRIPTION: 16 * 2**20, MODULE: 64 * 2**20}
"""The most bytes of each text that are parsed; BERT-base needs 20 kB and 1 MB."""

# Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION = 20  # of the format: files
_STORED, _NO_FLAGS = 0, 0
_EPOCH = (0, 0x21)  # 1980-01-01 00:00, the earliest that can be said; the time of writing would differ
_UNIX = 3 << 8
_PERMISSIONS = 0o100644 << 16


def pack(contents: Mapping[str, bytes]) -> bytes:
    """The archive of the three members, together below 2^32 bytes."""
    blocks: list[bytes] = []
    directory = b""
    offset = 0
    for name in MEMBERS:
        data, spelled = contents[name], name.encode("ascii")
        size = len(data)
        common = (_VERSION, _NO_FLAGS, _STORED, *_EPOCH, zlib.crc32(data), size, size, len(spelled), 0)
        header = _LOCAL.pack(b"PK\x03\x04", *common) + spelled
        directory += _CENTRAL.pack(b"PK\x01\x02", _VERSION | _UNIX, *common, 0, 0, 0, _PERMISSIONS, offset) + spelled
        blocks += [header, data]
        offset += len(header) + size
    end = _END.pack(b"PK\x05\x06", 0, 0, len(MEMBERS), len(MEMBERS), len(directory), offset, 0)
    return b"".join([*blocks, directory, end])


def unpack(data: bytes, name: str) -> dict[str, bytes]:
    """The members' content, by member.

    Args:
        data: of the file.
        name: of the file, for errors.

    Raises:
        InvalidModelError: it is not exactly what `pack` writes, or a text is too long to be parsed.
    """
    contents: dict[str, bytes] = {}
    offset = 0
    for member in MEMBERS:
        start = offset + _LOCAL.size + len(member)
        if len(data) < start:
            raise InvalidModelError(f"{name} ends before its {member}; compress the model again")
        size = _LOCAL.unpack_from(data, offset)[8]
        if size > TEXT_LIMITS.get(member, size):
            raise InvalidModelError(f"{name}: {member} has {size} bytes, at most {TEXT_LIMITS[member]} are read")
        offset = start + size
        contents[member] = data[start:offset]
    if pack(contents) != data:
        raise InvalidModelError(
            f"{name} is damaged, or not a file that `edgecompile compress` wrote; compress the model again"
        )
    return contents
