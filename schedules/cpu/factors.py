"""Scalars that multiply whole vectors, a few neighbours of a row fetched by one load.

    sums[row, v] += x[row, c] * weight[c, v]        for all c

x86 multiplies by a scalar in memory that it broadcasts. AArch64 multiplies by one lane of a register
(`fmla v0.4s, v1.4s, v2.s[3]`): there one load of four neighbouring channels replaces four loads of scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def multiply_line(
    places: Mapping[tuple[int, int], int],
    vectors: int,
    neighbours: int,
    dtype: str,
    read: Callable[[Expr], Expr],
    multiply: Callable[[int, int, int, Expr], tirx.Stmt],
) -> list[tirx.Stmt]:
    """The products of pixels along a line with all columns of a kernel; each pixel is loaded once.

    Args:
        places: by row of the tile and column of the kernel, the pixel that they meet, the first pixel being 0.
        read: a pixel.
        multiply: by row, vector, column, and the pixel's value.
    """
    count = max(places.values()) + 1
    fetched = loops.local_buffer([count], dtype, "pixels")

    def fetch(first: int, lanes: int) -> tirx.Stmt:
        return loops.vector(lanes, lambda lane: loops.store(fetched, read(lane + first), [lane + first]))

    whole = count - count % neighbours
    return [
        loops.allocate(fetched),
        *[fetch(first, neighbours) for first in range(0, whole, neighbours)],
        *[fetch(first, 1) for first in range(whole, count)],  # a whole vector might end behind the tensor
        *[
            multiply(row, v, j, loops.load(fetched, [places[row, j]]))
            for j in sorted({j for _, j in places})
            for v in range(vectors)
            for row in sorted({row for row, column in places if column == j})
        ],
    ]
