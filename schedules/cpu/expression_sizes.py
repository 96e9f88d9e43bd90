"""How large the expression of a stage becomes when other stages are computed inside it.

A stage that reads its producer k times gets k copies of the producer's expression. Over a chain of `x * sigmoid(x)` the
size doubles with every link, so inlining needs a bound, or code generation never ends.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from schedules.cpu.blocks import Block

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule

# What LLVM still compiles in well under a second; the longest epilogues of real networks have about a hundred.
MOST_NODES = 1000
# TVM's lowering of tanh names its argument five times, in a choice of two quotients; those of tan and atanh twice.
MOST_COPIES_OF_ARGUMENT = 5
_COPYING_FUNCTIONS = frozenset({"tirx.tanh", "tirx.tan", "tirx.atanh"})


class ExpressionSizes:
    """Sizes and reads of the blocks of one schedule, kept up to date through inlining."""

    def __init__(self, schedule: Schedule, blocks: list[Block]) -> None:
        self._nodes: dict[str, int] = {}
        self._reads: dict[str, Counter[str]] = {}
        self._written: dict[str, str] = {}
        for block in blocks:
            body = schedule.get(block.handle)
            name = str(body.name_hint)
            self._nodes[name], self._reads[name] = _measure(body)
            self._written[name] = ",".join(str(region.source.name) for region in body.writes)

    def may_inline(self, producer: str, reader: str) -> bool:
        """True when `reader` stays small enough with `producer` computed inside it."""
        return self._nodes[reader] + self._copies(producer, reader) * self._nodes[producer] <= MOST_NODES

    def inline(self, producer: str, reader: str) -> None:
        """Take note that `producer` is computed inside `reader`."""
        copies = self._copies(producer, reader)
        self._nodes[reader] += copies * self._nodes[producer]
        del self._reads[reader][self._written[producer]]
        for buffer, count in self._reads[producer].items():
            self._reads[reader][buffer] += copies * count

    def _copies(self, producer: str, reader: str) -> int:
        return self._reads[reader][self._written[producer]]


def _measure(body: tvm.s_tir.SBlock) -> tuple[int, Counter[str]]:
    """The nodes of a block's expressions, and how often each buffer is read, after lowering."""
    from tvm import ir
    from tvm_ffi.structural import structural_walk

    nodes = 0
    reads: list[str] = []
    copies = 1

    def on_expression(expression: ir.Expr) -> None:
        nonlocal nodes, copies
        nodes += 1
        if isinstance(expression, ir.TensorLoad):
            reads.append(str(expression.source.name))
        elif isinstance(expression, ir.Call) and getattr(expression.op, "name", "") in _COPYING_FUNCTIONS:
            copies = MOST_COPIES_OF_ARGUMENT

    structural_walk(body.body, (ir.Expr, on_expression))
    return nodes * copies, Counter({name: count * copies for name, count in Counter(reads).items()})
