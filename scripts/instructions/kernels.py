"""Which kernels execute the instructions, and what their hottest loops are made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from scripts.instructions.counting import Count
from scripts.instructions.disassembly import Instruction, Library, innermost_loops
from scripts.instructions.throughput import Throughput, analyze, is_product

_LEAST_SHARE = 0.01  # of all instructions; kernels below it are left out


@dataclass(frozen=True)
class Kernel:
    """One function.

    Attributes:
        name: of its symbol, without the network's name.
        instructions: of one inference.
        share: of all instructions.
        loop: the innermost loop that executes the most; empty where there is none.
        loop_share: its part of the function's instructions.
        throughput: of the loop, for each core; empty where it was not asked for.
    """

    name: str
    instructions: int
    share: float
    loop: tuple[Instruction, ...]
    loop_share: float
    throughput: tuple[Throughput, ...]

    @property
    def products(self) -> int:
        """Fused multiply-adds of vectors in the loop."""
        return sum(is_product(instruction) for instruction in self.loop)

    @property
    def spills(self) -> int:
        """Instructions of the loop that read or write the stack."""
        return sum("[sp" in instruction.text for instruction in self.loop)


def find_kernels(count: Count, library: Library, network: str, analyzer: str | None) -> list[Kernel]:
    """The functions of `count.library` that matter, by falling share.

    Args:
        network: its name, with which its symbols begin.
        analyzer: the program for the throughput, or None.
    """
    by_name: dict[str, Counter[int]] = defaultdict(Counter)
    for (file, offset), executed in count.executed.items():
        if count.library is not None and file.resolve() == count.library and executed > 0:
            address = library.address(offset)
            by_name[library.name_at(address) or ""][address] += executed
    total = count.instructions or 0
    kernels = []
    for name, executed_at in by_name.items():
        executed = executed_at.total()
        if executed < _LEAST_SHARE * total:
            continue
        loop, inside = _hottest_loop(library.functions[name], executed_at)
        throughput = tuple(analyze(analyzer, loop)) if analyzer and loop else ()
        short = name.removeprefix(f"{network}_").removesuffix("_compute")
        kernels.append(Kernel(short, executed, executed / total, loop, inside / executed, throughput))
    return sorted(kernels, key=lambda kernel: -kernel.instructions)


def _hottest_loop(code: tuple[Instruction, ...], executed_at: Counter[int]) -> tuple[tuple[Instruction, ...], int]:
    """The loop in which the most instructions are executed, and how many."""
    found: tuple[tuple[Instruction, ...], int] = ((), 0)
    for loop in innermost_loops(code):
        first, last = loop[0].address, loop[-1].address
        inside = sum(count for address, count in executed_at.items() if first <= address <= last)
        if inside > found[1]:
            found = loop, inside
    return found
