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

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

_Number = TypeVar("_Number", int, "Expr")

LINE_BYTES = 64  # of a cache line, on every CPU that we have templates for
_FEWEST_STEPS, _MOST_STEPS = 4, 16  # between two requests; AArch64 does four at a time
_MOST_LINES = 4  # of one request, more would keep loads waiting
# Of a stretch that one tile uses: what comes next lies right behind what is in use. A whole stretch further on it would
# be forgotten again before its turn. 2 to 16 KiB are alike on a Zen 5 server, at 95 % of what it can read.
AHEAD_BYTES = 8192


@dataclass(frozen=True)
class WeightStream:
    """Requests for the stretch behind the one that a run of tiles uses.

    Attributes:
        weight: whose elements lie in the order in which they are used.
        tiles: of a run.
        steps: of a tile's reduction; each uses `step_elements` of the stretch.
        is_near: the stretch goes to the first-level cache, which holds two of them; to the second otherwise.
        most_steps: between two requests: those of the innermost loop, which requests stand before.
    """

    weight: tirx.Buffer
    tiles: int
    steps: int
    step_elements: int
    is_near: bool = True
    most_steps: int = _MOST_STEPS

    @property
    def element_bytes(self) -> int:
        """Of a weight."""
        return int(self.weight.dtype.bits) // 8

    @property
    def _line(self) -> int:
        """Weights of a cache line."""
        return LINE_BYTES // self.element_bytes

    @property
    def strip(self) -> int:
        """Steps between two requests: a power of two."""
        lines_per_step = self.step_elements / self._line / self.tiles
        wanted = max(_FEWEST_STEPS, _MOST_LINES / lines_per_step)
        return 1 << math.floor(math.log2(min(_MOST_STEPS, self.most_steps, wanted)))

    @property
    def lines(self) -> int:
        """Lines of one request."""
        return math.ceil(self.strip * self.step_elements / self._line / self.tiles)

    def place(self, turn: _Number, strip: _Number) -> _Number:
        """The first line, counted from the next stretch's begin, that one strip of one tile asks for."""
        return (turn * math.ceil(self.steps / self.strip) + strip) * self.lines

    def begin(self, first: Expr, blocks: int) -> list[Expr]:
        """What `requests` counts from, without the panel's index: where the next stretch begins, or a little ahead.

        Args:
            first: block of input channels that the stretch in use begins with.
            blocks: of a stretch.
        """
        zeros = [loops.index(0)] * 3
        if self.tiles == 1 and self.steps * self.step_elements * self.element_bytes > AHEAD_BYTES:
            return [first, *zeros, loops.index(AHEAD_BYTES // self.element_bytes)]
        return [first + blocks, *zeros, loops.index(0)]

    def pays(self, facts: CpuFacts) -> bool:
        """False where the first-level cache keeps all weights anyway."""
        return math.prod(int(extent) for extent in self.weight.shape) * self.element_bytes > facts.l1d_bytes // 2

    def requests(self, at: Sequence[Expr], turn: Expr, first: Expr) -> Callable[[Expr], list[tirx.Stmt]]:
        """What each strip of a loop asks for, by the strip's number.

        Args:
            at: the index in `weight` where the next stretch begins.
            turn: which tile of the run this is.
            first: which step of the tile's reduction the loop begins with.
        """

        def request(strip: Expr) -> list[tirx.Stmt]:
            place = self.place(turn, first // self.strip + strip)
            return [self._fetch([*at[:-1], at[-1] + (place + line) * self._line]) for line in range(self.lines)]

        return request

    def _fetch(self, indices: Sequence[Expr]) -> tirx.Stmt:
        """Ask for a line; one beyond the buffer's end does no harm."""
        from tvm import tirx

        read, locality, data = (tirx.const(number, "int32") for number in (0, 3 if self.is_near else 2, 1))
        address = tirx.address_of(loops.load(self.weight, indices))
        return tirx.Evaluate(tirx.call_llvm_intrin("void", "llvm.prefetch", address, read, locality, data))
