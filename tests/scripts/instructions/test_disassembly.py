"""Listings of both disassemblers, and the loops in them."""

from __future__ import annotations

import pytest

from scripts.instructions.disassembly import Instruction, Library, innermost_loops, parse

GNU = """
lib.so:     file format elf64-littleaarch64

Disassembly of section .text:

0000000000000100 <first>:
     100:\tmov\tw0, #0x7                   \t// #7
     104:\tldp\tq0, q1, [x1], #32
     108:\tsubs\tw0, w0, #0x1
     10c:\tb.ne\t104 <first+0x4>  // b.any
     110:\tret

0000000000000120 <second>:
     120:\tcbz\tx0, 128 <second+0x8>
     124:\tfmla\tv0.4s, v1.4s, v2.s[3]
     128:\tret
"""
LLVM = """
0000000000000100 <first>:
     100:      \tmov\tw0, #7
     104:      \tldp\tq0, q1, [x1], #32
     108:      \tsubs\tw0, w0, #1
     10c:      \tb.ne\t0x104 <first+0x4>
     110:      \tret

0000000000000120 <second>:
     120:      \tcbz\tx0, 0x128 <second+0x8>
     124:      \tfmla\tv0.4s, v1.4s, v2.s[3]
     128:      \tret
"""


@pytest.mark.parametrize("listing", [GNU, LLVM], ids=["gnu", "llvm"])
def test_functions_and_branches(listing: str) -> None:
    functions = dict(parse(listing))
    assert list(functions) == ["first", "second"]
    assert [instruction.address for instruction in functions["first"]] == [0x100, 0x104, 0x108, 0x10C, 0x110]
    assert functions["first"][1].text == "ldp q0, q1, [x1], #32"
    assert [instruction.target for instruction in functions["first"]] == [None, None, None, 0x104, None]
    assert functions["second"][0].target == 0x128
    (loop,) = innermost_loops(functions["first"])
    assert [instruction.address for instruction in loop] == [0x104, 0x108, 0x10C]
    assert not list(innermost_loops(functions["second"]))


def test_only_the_innermost_of_nested_loops() -> None:
    texts = ["nop", "nop", "b.ne 4 <f+0x4>", "nop", "b.lo 0 <f>", "cbnz x0, 14 <f+0x14>"]
    code = tuple(Instruction(4 * at, text) for at, text in enumerate(texts))
    assert [(loop[0].address, loop[-1].address) for loop in innermost_loops(code)] == [(4, 8), (20, 20)]


def test_places_of_the_file() -> None:
    library = Library(dict(parse(GNU)), ((0, 0, 0x80), (0x80, 0x100, 0x40)))
    assert library.address(0xA4) == 0x124
    assert library.name_at(0x124) == "second" and library.name_at(0x11C) == "first" and library.name_at(0xFF) is None
    with pytest.raises(ValueError, match="offset 192"):
        library.address(0xC0)
