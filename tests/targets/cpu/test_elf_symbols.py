"""Symbols of object files of both ELF classes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgecompile.errors import CompilerBugError
from edgecompile.target import find_target
from targets.cpu.elf_symbols import defined_symbols, rename_and_hide, undefined_symbols
from targets.cpu.toolchain import find_toolchain
from tests.targets.boards import ARMV7, RPI4

SOURCE = """
int outside(int);
int value = 3;
__attribute__((weak)) int maybe(void) { return 1; }
static int inside(int x) { return outside(x) + value; }
int call(int x) { return inside(x) + outside(maybe()); }
"""


@pytest.mark.parametrize("name", ["host", RPI4, ARMV7])
def test_rename_and_hide(tmp_path: Path, name: str) -> None:
    toolchain = find_toolchain(find_target(name))
    (tmp_path / "a.c").write_text(SOURCE)
    toolchain.compile(["-c", "-O1", "-fPIC", "a.c", "-o", "a.o"], tmp_path, "compiling")
    data = (tmp_path / "a.o").read_bytes()
    assert defined_symbols(data) == {"call", "maybe", "value"}
    assert "outside" in undefined_symbols(data)

    names = {"call": "a_much_longer_name_for_call", "outside": "o", "absent": "x"}
    changed = rename_and_hide(data, names)
    assert defined_symbols(changed) == {"a_much_longer_name_for_call", "maybe", "value"}
    assert undefined_symbols(changed) - {"_GLOBAL_OFFSET_TABLE_"} == {"o"}
    assert rename_and_hide(data, names) == changed

    (tmp_path / "b.o").write_bytes(changed)
    (tmp_path / "c.c").write_text(
        "int o(int x) { return x; }\n"
        "int a_much_longer_name_for_call(int);\n"
        "int use(void) { return a_much_longer_name_for_call(1); }\n"
    )
    toolchain.compile(["-shared", "-fPIC", "-nostdlib", "-Wl,-z,defs", "b.o", "c.c", "-o", "c.so"], tmp_path, "linking")
    symbols = subprocess.run(
        ["readelf", "--dyn-syms", "-W", tmp_path / "c.so"], capture_output=True, text=True, check=True
    )
    shown = {line.split()[-1] for line in symbols.stdout.splitlines() if " GLOBAL " in line}
    assert {"o", "use"} <= shown
    assert not {"value", "maybe", "a_much_longer_name_for_call"} & shown


def test_many_sections(tmp_path: Path) -> None:
    """From 0xff00 sections on, their number lies elsewhere."""
    toolchain = find_toolchain(find_target("host"))
    (tmp_path / "a.S").write_text("".join(f'.section .t{i},"a"\n.byte 1\n' for i in range(0xFF10)) + ".globl f\nf:\n")
    toolchain.compile(["-c", "a.S", "-o", "a.o"], tmp_path, "assembling")
    changed = rename_and_hide((tmp_path / "a.o").read_bytes(), {"f": "g"})
    assert defined_symbols(changed) == {"g"}


@pytest.mark.parametrize("data", [b"", b"text", b"\x7fELF\x02\x02" + bytes(100)])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(CompilerBugError, match="little-endian ELF"):
        defined_symbols(data)
