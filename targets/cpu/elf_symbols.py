"""The global symbols of an ELF object file: read them, rename them, hide them.

Generated objects call two functions by names that are fixed in TVM and in the runtime, and two networks may be linked
into one program. `objcopy` could give each network names of its own, but Zig comes without one, so the symbol table is
edited here: new names go into a longer copy of the string table at the end of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgecompile.errors import CompilerBugError

_SYMBOL_TABLE = 2  # SHT_SYMTAB
_LOCAL = 0  # STB_LOCAL
_UNDEFINED = 0  # SHN_UNDEF
_HIDDEN = 2  # STV_HIDDEN


@dataclass(frozen=True)
class _Layout:
    """Where the two ELF classes keep the fields that are needed; offsets and sizes in bytes."""

    section_table: tuple[int, str]  # e_shoff
    section_count: int  # e_shnum, preceded by e_shentsize
    section_offset: tuple[int, str]  # sh_offset, followed by sh_size in the same format
    section_link: int  # sh_link
    symbol_bytes: int
    symbol_info: int  # st_info, followed by st_other
    symbol_section: int  # st_shndx


_LAYOUTS = {
    1: _Layout((0x20, "<I"), 0x30, (16, "<I"), 24, 16, 12, 14),
    2: _Layout((0x28, "<Q"), 0x3C, (24, "<Q"), 40, 24, 4, 6),
}


@dataclass(frozen=True)
class _Symbol:
    offset: int  # of its entry in the file
    name: str
    defined: bool


class _Object:
    """One object file in memory."""

    def __init__(self, data: bytes) -> None:
        if data[:4] != b"\x7fELF" or data[4] not in _LAYOUTS or data[5] != 1:
            raise CompilerBugError("the link step needs little-endian ELF objects, found a file of another format")
        self.data = bytearray(data)
        self.layout = _LAYOUTS[data[4]]
        self.table = self._read(*self.layout.section_table)
        self.entry_bytes, self.count = struct.unpack_from("<HH", data, self.layout.section_count - 2)
        if self.count == 0:  # 0xff00 sections and more: the count is the size of section 0
            self.count = self._span(0)[1]

    def _read(self, offset: int, form: str) -> int:
        value: int = struct.unpack_from(form, self.data, offset)[0]
        return value

    def _header(self, section: int) -> int:
        return self.table + section * self.entry_bytes

    def _span(self, section: int) -> tuple[int, int]:
        """Offset and size of a section's bytes."""
        at, form = self.layout.section_offset
        at += self._header(section)
        return self._read(at, form), self._read(at + struct.calcsize(form), form)

    def symbol_tables(self) -> Iterator[tuple[int, int]]:
        """Each symbol table and the string table it names, as section numbers."""
        for section in range(self.count):
            if self._read(self._header(section) + 4, "<I") == _SYMBOL_TABLE:
                yield section, self._read(self._header(section) + self.layout.section_link, "<I")

    def global_symbols(self, table: int, strings: int) -> Iterator[_Symbol]:
        offset, size = self._span(table)
        string_start, _ = self._span(strings)
        for entry in range(offset, offset + size, self.layout.symbol_bytes):
            if self.data[entry + self.layout.symbol_info] >> 4 == _LOCAL:
                continue
            start = string_start + self._read(entry, "<I")
            name = self.data[start : self.data.index(0, start)].decode()
            yield _Symbol(entry, name, self._read(entry + self.layout.symbol_section, "<H") != _UNDEFINED)

    def hide(self, symbol: _Symbol) -> None:
        self.data[symbol.offset + self.layout.symbol_info + 1] = _HIDDEN

    def rename(self, symbols: Mapping[_Symbol, str], strings: int) -> None:
        """Give symbols new names; the string table moves to the end of the file, and its other strings stay valid."""
        start, size = self._span(strings)
        moved = self.data[start : start + size]
        for symbol, name in symbols.items():
            struct.pack_into("<I", self.data, symbol.offset, len(moved))
            moved += name.encode() + b"\0"
        at, form = self.layout.section_offset
        at += self._header(strings)
        struct.pack_into(form, self.data, at, len(self.data))
        struct.pack_into(form, self.data, at + struct.calcsize(form), len(moved))
        self.data += moved


def defined_symbols(data: bytes) -> frozenset[str]:
    """The names of the global and weak symbols that an object file defines."""
    return _names(data, defined=True)


def undefined_symbols(data: bytes) -> frozenset[str]:
    """The names of the symbols that an object file needs from elsewhere."""
    return _names(data, defined=False)


def _names(data: bytes, *, defined: bool) -> frozenset[str]:
    elf = _Object(data)
    symbols = (symbol for tables in elf.symbol_tables() for symbol in elf.global_symbols(*tables))
    return frozenset(symbol.name for symbol in symbols if symbol.defined == defined)


def rename_and_hide(data: bytes, names: Mapping[str, str]) -> bytes:
    """The object file with its global symbols renamed by `names`, and everything that it defines hidden.

    Args:
        data: an ELF object file, 32 or 64 bit, little-endian.
        names: old name -> new name; names that the object does not have are ignored.

    Raises:
        CompilerBugError: the bytes are not such a file.
    """
    elf = _Object(data)
    for table, strings in list(elf.symbol_tables()):
        renamed: dict[_Symbol, str] = {}
        for symbol in elf.global_symbols(table, strings):
            if symbol.defined:
                elf.hide(symbol)
            if symbol.name in names:
                renamed[symbol] = names[symbol.name]
        if renamed:
            elf.rename(renamed, strings)
    return bytes(elf.data)
