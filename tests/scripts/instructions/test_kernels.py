"""Instructions by kernel, and the loop in which most of them lie."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scripts.instructions.counting import Count
from scripts.instructions.disassembly import Instruction, Library
from scripts.instructions.kernels import find_kernels

TEXTS = [
    *("nop", "b.ne 0 <cold>"),
    *("fmla v0.4s, v1.4s, v2.s[0]", "str q0, [sp, #16]", "fmla v3.4s, v1.4s, v2.4s", "cbnz x1, 8 <hot>", "ret"),
]


@pytest.fixture
def library() -> Library:
    code = [Instruction(4 * at, text) for at, text in enumerate(TEXTS)]
    return Library({"net_conv_compute": tuple(code), "net_rare": (Instruction(64, "ret"),)}, ((0x1000, 0, 128),))


def test_shares_and_hottest_loop(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "libnet.so"
    executed = Counter({(path, 0x1000): 20, (path, 0x1008): 700, (path, 0x1018): 80, (Path("/libc"), 0): 195})
    executed[path, 0x1040] = 5
    (kernel,) = find_kernels(Count("ours", executed=executed, library=path.resolve()), library, "net", None)
    assert (kernel.name, kernel.instructions, kernel.share) == ("conv", 800, 0.8)
    assert [instruction.address for instruction in kernel.loop] == [8, 12, 16, 20]
    assert (kernel.loop_share, kernel.products, kernel.spills, kernel.throughput) == (0.875, 2, 1, ())
