"""Weights on their way: while tiles use one stretch of them, the next is fetched into the first-level cache.

A stretch is used by all tiles of a run. Only the first would wait for memory, at a pace that no memory keeps, while the
others find everything in the cache. So every step of every tile asks for a few lines of what the next run needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.direct_config import FLOAT_BYTES

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

_Number = TypeVar("_Number", int, "Expr")

LINE_BYTES = 64  # of a cache line, on every CPU that we have templates for
_LINE = LINE_BYTES // FLOAT_BYTES
_MOST_STEPS = 16  # between two requests
_MOST_LINES = 4  # of one request, more would keep loads waiting


@dataclass(frozen=True)
class WeightStream:
    """Requests for the stretch behind the one that a run of tiles uses.

    Attributes:
        weight: whose elements lie in the order in which they are used.
        tiles: of a run.
        steps: of a tile's reduction; each uses `step_floats` of the stretch.
    """

    weight: tirx.Buffer
    tiles: int
    steps: int
    step_floats: int

    @property
    def strip(self) -> int:
        """Steps between two requests: a power of two."""
        lines_per_step = self.step_floats / _LINE / self.tiles
        return 1 << max(0, math.floor(math.log2(min(_MOST_STEPS, max(1.0, _MOST_LINES / lines_per_step)))))

    @property
    def lines(self) -> int:
        """Lines of one request."""
        return math.ceil(self.strip * self.step_floats / _LINE / self.tiles)

    def place(self, turn: _Number, strip: _Number) -> _Number:
        """The first line, counted from the next stretch's begin, that one strip of one tile asks for."""
        return (turn * math.ceil(self.steps / self.strip) + strip) * self.lines

    def pays(self, facts: CpuFacts) -> bool:
        """False where the first-level cache keeps all weights anyway."""
        return math.prod(int(extent) for extent in self.weight.shape) * FLOAT_BYTES > facts.l1d_bytes // 2

    def reduction(
        self, extent: int, body: Callable[[Expr], list[tirx.Stmt]], *, at: Sequence[Expr], turn: Expr, first: Expr
    ) -> list[tirx.Stmt]:
        """`for step in range(extent): body(step)` with requests in between.

        Args:
            at: the index in `weight` where the next stretch begins.
            turn: which tile of the run this is.
            first: which step of the tile's reduction this loop begins with.
        """
        whole, rest = divmod(extent, self.strip)
        statements: list[tirx.Stmt] = []

        def request(number: Expr) -> list[tirx.Stmt]:
            place = self.place(turn, first // self.strip + number)
            return [_fetch(self.weight, [*at[:-1], at[-1] + (place + line) * _LINE]) for line in range(self.lines)]

        def one(number: Expr) -> list[tirx.Stmt]:
            start = number * self.strip
            if self.strip == 1:
                return [*request(number), *body(start)]
            return [*request(number), loops.serial(self.strip, lambda step: body(start + step), "step")]

        if whole == 1:
            statements += one(loops.index(0))
        elif whole:
            statements.append(loops.serial(whole, one, "strip"))
        if rest:
            statements.append(loops.serial(rest, body, "step", whole * self.strip))
        return statements


def _fetch(buffer: tirx.Buffer, indices: Sequence[Expr]) -> tirx.Stmt:
    """Ask for a line; one beyond the buffer's end does no harm."""
    from tvm import tirx

    read, near, data = (tirx.const(number, "int32") for number in (0, 3, 1))
    address = tirx.address_of(loops.load(buffer, indices))
    return tirx.Evaluate(tirx.call_llvm_intrin("void", "llvm.prefetch", address, read, near, data))
