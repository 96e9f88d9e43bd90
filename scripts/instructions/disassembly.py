"""The functions of an AArch64 library and their innermost loops, from what a disassembler prints."""

from __future__ import annotations

import bisect
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgecompile.errors import ToolchainError

_TOOLS = ("aarch64-linux-gnu-objdump", "llvm-objdump")
_FUNCTION = re.compile(r"([0-9a-f]+) <(.+)>:")
_INSTRUCTION = re.compile(r"\s*([0-9a-f]+):\s+([a-z]\S*.*?)\s*(?://.*)?")
_BRANCH = re.compile(r"(?:b(?:\.\w+)?|cbn?z|tbn?z)\s(?:.*[\s,])?(?:0x)?([0-9a-f]+) <.*>")
_LOAD = 1  # PT_LOAD


@dataclass(frozen=True)
class Instruction:
    """One instruction: its address, and its text."""

    address: int
    text: str

    @property
    def target(self) -> int | None:
        """Where it may jump, for a branch within the function."""
        found = _BRANCH.fullmatch(self.text)
        return int(found[1], 16) if found else None


@dataclass(frozen=True)
class Library:
    """The code of a library.

    Attributes:
        functions: the instructions of each, by name; code behind a function without a name of its own counts to it.
        segments: file offset, address and size of what is loaded.
    """

    functions: Mapping[str, tuple[Instruction, ...]]
    segments: tuple[tuple[int, int, int], ...]

    def address(self, offset: int) -> int:
        """Where a place of the file lies once it is loaded."""
        for start, address, size in self.segments:
            if start <= offset < start + size:
                return offset - start + address
        raise ValueError(f"nothing is loaded from offset {offset}")

    def name_at(self, address: int) -> str | None:
        """The function whose code lies there."""
        starts = [code[0].address for code in self.functions.values()]
        at = bisect.bisect_right(starts, address) - 1
        return list(self.functions)[at] if at >= 0 else None


def read_library(path: Path) -> Library:
    """Disassemble a shared library.

    Raises:
        ToolchainError: no disassembler.
    """
    tool = next((found for name in _TOOLS if (found := shutil.which(name))), None)
    if tool is None:
        raise ToolchainError(f"kernels need a disassembler, {' or '.join(_TOOLS)}: apt-get install llvm")
    result = subprocess.run([tool, "-d", "--no-show-raw-insn", str(path)], capture_output=True, text=True)
    if result.returncode != 0:
        raise ToolchainError(f"{Path(tool).name} cannot read {path.name}: {result.stderr.strip().splitlines()[-1]}")
    return Library(dict(parse(result.stdout)), tuple(_segments(path.read_bytes())))


def parse(text: str) -> Iterator[tuple[str, tuple[Instruction, ...]]]:
    """The functions in a listing, in order."""
    name, code = "", list[Instruction]()
    for line in text.splitlines():
        if found := _FUNCTION.fullmatch(line):
            if code:
                yield name, tuple(code)
            name, code = found[2], []
        elif name and (found := _INSTRUCTION.fullmatch(line)):
            code.append(Instruction(int(found[1], 16), " ".join(found[2].split())))
    if code:
        yield name, tuple(code)


def innermost_loops(code: tuple[Instruction, ...]) -> Iterator[tuple[Instruction, ...]]:
    """Runs of instructions that end with a jump to their own beginning, with no such run within."""
    position = {instruction.address: at for at, instruction in enumerate(code)}
    last_start = -1
    for at, instruction in enumerate(code):
        start = position.get(instruction.target if instruction.target is not None else -1, len(code))
        if last_start < start <= at:
            last_start = start
            yield code[start : at + 1]


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """What a 64-bit little-endian ELF file has loaded."""
    (table,) = struct.unpack_from("<Q", data, 0x20)
    entry_bytes, count = struct.unpack_from("<HH", data, 0x36)
    for at in range(table, table + count * entry_bytes, entry_bytes):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", data, at)
        if kind == _LOAD:
            yield offset, address, size
