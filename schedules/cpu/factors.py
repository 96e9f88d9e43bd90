"""Scalars that multiply whole vectors, a few neighbours of a row fetched by one load.

    sums[row, v] += x[row, c] * weight[c, v]        for all c

x86 multiplies by a scalar in memory that it broadcasts. AArch64 multiplies by one lane of a register
(`fmla v0.4s, v1.4s, v2.s[3]`): there one load of four neighbouring channels replaces four loads of scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

    Read = Callable[[int, Expr], Expr]  # the factor of a row, by its place in the row
    Multiply = Callable[[int, int, Expr, Expr], tirx.Stmt]  # by row, vector, the row's factor, and the factor's place


@dataclass(frozen=True)
class Step:
    """The products of one tile: each of `rows`, in any order, with each of `vectors` vectors.

    Attributes:
        neighbours: how many factors of a row are fetched together; they must lie side by side in memory.
        dtype: of a factor.
    """

    rows: Sequence[int]
    vectors: int
    neighbours: int
    dtype: str

    def repeat(
        self,
        extent: int,
        read: Read,
        multiply: Multiply,
        strip: int = 0,
        before: Callable[[Expr], list[tirx.Stmt]] | None = None,
    ) -> list[tirx.Stmt]:
        """`for c in range(extent): for row in rows: for v in range(vectors): multiply(row, v, read(row, c), c)`.

        Args:
            strip: how many steps follow each `before`; a power of two.
            before: statements before each strip of the loop, by the strip's number.
        """
        if before is None:
            return self._steps(loops.index(0), extent, read, multiply)
        whole, rest = divmod(extent, strip)

        def one(number: Expr) -> list[tirx.Stmt]:
            return [*before(number), *self._steps(number * strip, strip, read, multiply)]

        statements = one(loops.index(0)) if whole == 1 else [loops.serial(whole, one, "strip")] if whole else []
        return statements + (self._steps(loops.index(whole * strip), rest, read, multiply) if rest else [])

    def _steps(self, first: Expr, extent: int, read: Read, multiply: Multiply) -> list[tirx.Stmt]:
        def one(c: Expr) -> list[tirx.Stmt]:
            place = first + c
            return [multiply(row, v, read(row, place), place) for row in self.rows for v in range(self.vectors)]

        whole, rest = divmod(extent, self.neighbours) if self.neighbours > 1 else (0, extent)
        fetched = loops.local_buffer([len(self.rows) * self.neighbours], self.dtype, "factors")

        def group(number: Expr) -> list[tirx.Stmt]:
            return self._group(fetched, first + number * self.neighbours, read, multiply)

        statements = [loops.allocate(fetched), loops.serial(whole, group, "group")] if whole else []
        return statements + ([loops.serial(rest, one, "c", whole * self.neighbours)] if rest else [])

    def _group(self, fetched: tirx.Buffer, first: Expr, read: Read, multiply: Multiply) -> list[tirx.Stmt]:
        """Vectors outside of rows: the factors of all rows are in registers, so each vector is needed only once."""
        count = self.neighbours

        def fetch(at: int, row: int) -> tirx.Stmt:
            return loops.vector(count, lambda lane: loops.store(fetched, read(row, first + lane), [lane + at * count]))

        return [
            *[fetch(at, row) for at, row in enumerate(self.rows)],
            *[
                multiply(row, v, loops.load(fetched, [at * count + k]), first + k)
                for k in range(count)
                for v in range(self.vectors)
                for at, row in enumerate(self.rows)
            ],
        ]
