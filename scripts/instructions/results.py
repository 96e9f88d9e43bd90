"""What was counted, as tables for people and as a document for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgecompile.cli.tables import Percent, print_table
from edgecompile.target import Target
from scripts.bench.case import Case
from scripts.instructions.counting import Count
from scripts.instructions.kernels import Kernel
from scripts.instructions.throughput import CORES


@dataclass(frozen=True)
class Comparison:
    """One network.

    Attributes:
        case: the network.
        ours, theirs: what edgecompile executed, and ONNX Runtime, or edgecompile in float32.
        kernels: ours, where they were asked for.
        kernels_reason: why there are none; empty otherwise.
    """

    case: Case
    ours: Count
    theirs: Count
    kernels: Sequence[Kernel] = ()
    kernels_reason: str = ""

    @property
    def ratio(self) -> float | None:
        """Our instructions to theirs."""
        ours, theirs = self.ours.instructions, self.theirs.instructions
        return None if ours is None or theirs is None else ours / theirs


def print_comparison(comparison: Comparison, target: Target) -> None:
    """The runtimes, and the kernels where there are any."""
    rows = [
        (
            f"{count.runtime} {count.version}".strip(),
            count.instructions,
            None if count.instructions is None else count.instructions * 4 / comparison.case.macs,
            comparison.ratio if count is comparison.ours else None,
            None if count.difference is None else f"{count.difference:.0e}",
            count.reason or "counted",
        )
        for count in (comparison.ours, comparison.theirs)
    ]
    columns = ("runtime", "instructions", "per 4 MACs", "ratio", "difference", "how")
    print_table(columns, rows, f"{comparison.case.name} on {target.name}, one inference, one thread")
    if comparison.kernels_reason:
        print(f"kernels are not shown: {comparison.kernels_reason}")
    if comparison.kernels:
        _print_kernels(comparison.kernels)


def _print_kernels(kernels: Sequence[Kernel]) -> None:
    cores = [core for core in CORES if any(found.core == core for kernel in kernels for found in kernel.throughput)]
    rows = []
    for kernel in kernels:
        figures: Mapping[str, Percent] = {found.core: Percent(found.peak_share) for found in kernel.throughput}
        rows.append(
            (
                kernel.name,
                kernel.instructions,
                Percent(kernel.share),
                Percent(kernel.loop_share),
                len(kernel.loop),
                kernel.products,
                kernel.spills,
                *(figures.get(core) for core in cores),
            )
        )
    columns = ("kernel", "instructions", "share", "in hottest loop", "its length", "its products", "its stack accesses")
    print_table((*columns, *(f"{core} peak" for core in cores)), rows)


def document(comparisons: Sequence[Comparison], target: Target) -> dict[str, Any]:
    """Everything that was counted; instructions of one inference."""
    return {
        "target": target.name,
        "comparisons": [
            {
                "model": comparison.case.name,
                "macs": comparison.case.macs,
                "ratio": comparison.ratio,
                "runtimes": [
                    {
                        "runtime": count.runtime,
                        "version": count.version,
                        "instructions": count.instructions,
                        "difference": count.difference,
                        "reason": count.reason,
                    }
                    for count in (comparison.ours, comparison.theirs)
                ],
                "kernels_reason": comparison.kernels_reason,
                "kernels": [
                    {
                        "name": kernel.name,
                        "instructions": kernel.instructions,
                        "share": kernel.share,
                        "loop_share": kernel.loop_share,
                        "loop": [instruction.text for instruction in kernel.loop],
                        "products": kernel.products,
                        "spills": kernel.spills,
                        "throughput": {
                            found.core: {"cycles": found.cycles, "peak_share": found.peak_share}
                            for found in kernel.throughput
                        },
                    }
                    for kernel in comparison.kernels
                ],
            }
            for comparison in comparisons
        ],
    }
