"""Direct convolution, and matrix products as its 1x1 case, on channel-blocked tensors.

    y[n, k, h, w] = sum over c, i, j of  x[n, c, h*s + i*d - p, w*s + j*d - p] * weight[k, c, i, j]

The accumulators of `rows` neighbouring pixels times `vectors` vectors of output channels stay in registers while all
products of a chunk of input channels are added:

    for band, panel in parallel(...):              # a panel: `vectors` vectors of output channels
        for chunk in ...:                          # input channels whose weights stay in cache
            for tile in ...:                       # rows pixels along the width
                for c, i, j in chunk:
                    for row in unrolled(rows):     # a scalar of x, broadcast
                        for v in unrolled(vectors):
                            sums[row, v] += x[...] * weight[panel, c, i, j, v]
                y[tile] = epilogue(sums)           # or the partial sums, before the last chunk

Pixels beyond the border are left out: the kernel's rows by the bounds of its loop, its columns by tiles of their own at
both ends of the width, whose products are known when the code is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.epilogue import Epilogue

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr, Index

FLOAT_BYTES = 4
LOADS_PER_CYCLE = 2  # vector loads that x86 cores since Haswell and Arm cores since Cortex-A72 start together
FMA_LATENCY = 4  # cycles, as on every core since Skylake, Zen and Cortex-A76


@dataclass(frozen=True)
class DirectConfig:
    """The numbers of the template.

    Attributes:
        rows: pixels of a tile.
        vectors: vectors of output channels of a tile; their count in all divides by it.
        lanes: floats of a vector.
        chunk: blocks of input channels whose weights are used for all pixels before the next ones are; divides the
            number of blocks.
        pixels_outside: the loop over bands of pixels lies around the one over panels: for weights that fit the cache.
    """

    rows: int
    vectors: int
    lanes: int
    chunk: int
    pixels_outside: bool

    @property
    def panel(self) -> int:
        """Output channels of a tile."""
        return self.vectors * self.lanes

    def cycles(self, problem: Convolution, facts: CpuFacts) -> float:
        """What one core needs, when all operands come in time."""
        pixels, lines = _lines(problem)
        panels = math.ceil(problem.out_channels / self.panel)
        steps = problem.group_channels * problem.kernel[0] * problem.kernel[1]
        return _cycles(pixels, self.rows, self.vectors, facts) * lines * panels * steps

    @staticmethod
    def choose(problem: Convolution, in_block: int, facts: CpuFacts) -> DirectConfig:
        """The tile that takes the fewest cycles by counting, and the order that keeps the weights near."""
        lanes = facts.vector_bytes // FLOAT_BYTES
        count = math.ceil(problem.out_channels / lanes)
        pixels, _ = _lines(problem)
        best = min(
            (
                (_cycles(pixels, rows, vectors, facts) / vectors, -rows * vectors, rows, vectors)
                for vectors in range(1, min(count, 6) + 1)
                if count % vectors == 0
                for rows in range(1, min(pixels, 28) + 1)
                if rows * vectors + vectors + 1 <= facts.vector_registers
            ),
        )
        rows, vectors = best[2:]
        taps = problem.kernel[0] * problem.kernel[1]
        blocks = problem.in_channels // in_block
        weight_bytes = blocks * in_block * taps * count * lanes * FLOAT_BYTES
        panel_bytes = weight_bytes * vectors // count
        pixels_outside = weight_bytes <= facts.l2_bytes // 2
        chunk = blocks
        if not pixels_outside:
            limit = facts.l2_bytes // 3
            chunk = max((part for part in _divisors(blocks) if panel_bytes * part // blocks <= limit), default=1)
        return DirectConfig(rows, vectors, lanes, chunk, pixels_outside)


def _cycles(pixels: int, rows: int, vectors: int, facts: CpuFacts) -> float:
    """Cycles of one step of the reduction over a line of pixels, for one panel."""
    full, rest = divmod(pixels, rows)
    return full * _tile_cycles(rows, vectors, facts) + (_tile_cycles(rest, vectors, facts) if rest else 0)


def _tile_cycles(rows: int, vectors: int, facts: CpuFacts) -> float:
    return max(rows * vectors / facts.fma_ports, (rows + vectors) / LOADS_PER_CYCLE, FMA_LATENCY)


def _lines(problem: Convolution) -> tuple[int, int]:
    """How many pixels lie in a line that tiles run along, and how many such lines there are."""
    if problem.is_pointwise:
        return problem.height * problem.width, problem.batch
    return problem.out_width, problem.out_height * problem.batch


def _divisors(number: int) -> list[int]:
    return [part for part in range(1, number + 1) if number % part == 0]


def pack_weight(weight: np.ndarray, in_block: int, config: DirectConfig) -> np.ndarray:
    """`[K, C, KH, KW]` -> `[panels, C / in_block, KH, KW, in_block, panel]`, channels beyond K filled with zeros."""
    out_channels, in_channels, height, width = weight.shape
    panels = math.ceil(out_channels / config.panel)
    padded = np.zeros((panels * config.panel, in_channels, height, width), weight.dtype)
    padded[:out_channels] = weight
    blocked = padded.reshape(panels, config.panel, in_channels // in_block, in_block, height, width)
    return np.ascontiguousarray(blocked.transpose(0, 2, 4, 5, 3, 1))


def compute(
    x: te.Tensor, weight: te.Tensor, problem: Convolution, out_block: int, panel: int, attributes: dict[str, str]
) -> te.Tensor:
    """The convolution as a formula.

    Args:
        x: `[N, C, H, W]`, or `[N, C / b, H, W, b]`.
        weight: as `pack_weight` makes it.
        out_block: the result is `[N, K / out_block, OH, OW, out_block]`.
        attributes: annotations of the block, by which the schedule finds it again.
    """
    from tvm import te, tirx

    top, left, _, _ = problem.padding
    in_block = int(weight.shape[4])
    chunk, row, column, inner = (
        te.reduce_axis((loops.index(0), loops.index(int(weight.shape[axis]))), name)
        for axis, name in ((1, "c"), (2, "i"), (3, "j"), (4, "ci"))
    )

    def value(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        ih = h * problem.strides[0] + row * problem.dilations[0] - top
        iw = w * problem.strides[1] + column * problem.dilations[1] - left
        read = x(n, chunk * in_block + inner, ih, iw) if x.ndim == 4 else x(n, chunk, ih, iw, inner)
        if any(problem.padding):
            inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
            read = tirx.if_then_else(inside, read, tirx.const(0.0, x.dtype))
        k = block * out_block + lane
        return te.sum(read * weight(k // panel, chunk, row, column, inner, k % panel), axis=[chunk, row, column, inner])

    shape = (problem.batch, problem.out_channels // out_block, problem.out_height, problem.out_width, out_block)
    return te.compute([loops.index(extent) for extent in shape], value, name="conv2d", attrs=attributes)


def compute_product(x: te.Tensor, weight: te.Tensor, out_channels: int, attributes: dict[str, str]) -> te.Tensor:
    """`x @ w` as a formula: x is `[*rows, C]`, the weight what `pack_weight` makes of `[K, C, 1, 1]` with one block."""
    from tvm import te

    inner = te.reduce_axis((loops.index(0), loops.index(int(weight.shape[4]))), "ci")
    panel = int(weight.shape[5])

    def value(*indices: tirx.Var) -> Expr:
        *row, k = indices
        return te.sum(x(*row, inner) * weight(k // panel, 0, 0, 0, inner, k % panel), axis=[inner])

    return te.compute([*x.shape[:-1], loops.index(out_channels)], value, name="matmul", attrs=attributes)


@dataclass(frozen=True)
class _Tile:
    """Neighbouring pixels along the width.

    Attributes:
        start: the first one; a number where the tile touches a border.
        rows: how many.
    """

    start: Index
    rows: int


@dataclass(frozen=True)
class DirectConvolution:
    """Makes the loops of one convolution.

    Attributes:
        is_product: x is `[*rows, C]` and the result `[*rows, K]`: the rows are the pixels.
        num_cores: how many tasks there should at least be.
    """

    problem: Convolution
    config: DirectConfig
    x: tirx.Buffer
    weight: tirx.Buffer
    epilogue: Epilogue
    is_product: bool
    num_cores: int

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        problem, config = self.problem, self.config
        panels = int(self.weight.shape[0])
        line = problem.height * problem.width if problem.is_pointwise else problem.out_width
        lines = 1 if problem.is_pointwise else problem.out_height
        bands, band = self._bands(lines, line)
        images = problem.batch

        def panel_of(n: Expr, band_index: Expr, panel: Expr) -> list[tirx.Stmt]:
            chunks = int(self.weight.shape[1]) // config.chunk
            return [
                loops.serial(chunks, lambda chunk: self._band(n, band_index, band, panel, chunk, chunks), "chunk")
                if chunks > 1
                else loops.sequence(self._band(n, band_index, band, panel, None, 1))
            ]

        def task(index: Expr) -> list[tirx.Stmt]:
            if config.pixels_outside:
                n, band_index = index // bands, index % bands
                return [loops.serial(panels, lambda panel: panel_of(n, band_index, panel), "panel")]
            n, panel = index // (bands * panels), index // bands % panels
            return panel_of(n, index % bands, panel)

        tasks = images * bands * (1 if config.pixels_outside else panels)
        return loops.parallel(tasks, task)

    def _bands(self, lines: int, line: int) -> tuple[int, int]:
        """How many bands the pixels fall into, and the rows (of the image, or of tiles) of one."""
        units = lines if lines > 1 or not self.problem.is_pointwise else math.ceil(line / self.config.rows)
        panels = int(self.weight.shape[0])
        if self.config.pixels_outside:
            # One row of an image is enough work for a task, a few tiles of a matrix product are.
            band = 1 if not self.problem.is_pointwise else max(1, min(units // (4 * self.num_cores), 4))
        else:
            band = units if panels >= self.num_cores else math.ceil(units / self.num_cores)
        return math.ceil(units / band), band

    def _band(
        self, n: Expr, band_index: Expr, band: int, panel: Expr, chunk: Expr | None, chunks: int
    ) -> list[tirx.Stmt]:
        from tvm import tirx

        problem, config = self.problem, self.config
        if not problem.is_pointwise:
            start = band_index * band
            extent: Index = band
            if problem.out_height % band:
                extent = tirx.min(loops.index(band), problem.out_height - start)
            return [
                loops.serial(extent, lambda h: self._line(n, h, panel, chunk, chunks), "h", start)
                if band > 1
                else loops.sequence(self._line(n, start, panel, chunk, chunks))
            ]
        pixels = problem.height * problem.width
        full, rest = divmod(pixels, config.rows)
        statements: list[tirx.Stmt] = []
        bands = math.ceil(math.ceil(pixels / config.rows) / band)
        first = band_index * band
        if full:
            extent = band if full == bands * band else tirx.min(loops.index(band), full - first)
            statements.append(
                loops.serial(
                    extent,
                    lambda tile: self._tile(n, None, _Tile(tile * config.rows, config.rows), panel, chunk, chunks),
                    "tile",
                    first,
                )
            )
        if rest:
            tail = self._tile(n, None, _Tile(full * config.rows, rest), panel, chunk, chunks)
            statements.append(loops.when(band_index.equal(bands - 1), tail) if bands > 1 else loops.sequence(tail))
        return statements

    def _line(self, n: Expr, h: Expr, panel: Expr, chunk: Expr | None, chunks: int) -> list[tirx.Stmt]:
        """One row of the output: tiles at the borders one by one, those between them in a loop."""
        statements: list[tirx.Stmt] = []
        for tiles in self._runs():
            if len(tiles) == 1:
                statements += self._tile(n, h, tiles[0], panel, chunk, chunks)
                continue
            first, rows = int(tiles[0].start), tiles[0].rows
            statements.append(
                loops.serial(
                    len(tiles),
                    lambda t, first=first, rows=rows: self._tile(
                        n, h, _Tile(t * rows + first, rows), panel, chunk, chunks
                    ),
                    "tile",
                )
            )
        return statements

    def _runs(self) -> list[list[_Tile]]:
        """The tiles of a line, those in a row that no padding touches together."""
        width, rows = self.problem.out_width, self.config.rows
        tiles = [_Tile(start, min(rows, width - start)) for start in range(0, width, rows)]
        runs: list[list[_Tile]] = []
        for tile in tiles:
            inside = self._is_inside(tile) and tile.rows == rows
            if inside and runs and self._is_inside(runs[-1][-1]):
                runs[-1].append(tile)
            else:
                runs.append([tile])
        return runs

    def _is_inside(self, tile: _Tile) -> bool:
        return all(
            0 <= self._column(int(tile.start) + row, j) < self.problem.width
            for row in range(tile.rows)
            for j in range(self.problem.kernel[1])
        )

    def _column(self, pixel: int, j: int) -> int:
        return pixel * self.problem.strides[1] + j * self.problem.dilations[1] - self.problem.padding[1]

    def _tile(
        self, n: Expr, h: Expr | None, tile: _Tile, panel: Expr, chunk: Expr | None, chunks: int
    ) -> list[tirx.Stmt]:
        """The sums of one tile, in registers from their start to their end; `h` is None for a matrix product."""
        from tvm import tirx

        config = self.config
        sums = loops.local_buffer([tile.rows * config.panel], str(self.x.dtype), "sums")

        def place(row: int, v: int, lane: Expr) -> list[Expr]:
            return [lane + (row * config.vectors + v) * config.lanes]

        def each(body: Callable[[int, int, Expr], tirx.Stmt]) -> list[tirx.Stmt]:
            return [
                loops.vector(config.lanes, lambda lane, row=row, v=v: body(row, v, lane))
                for row in range(tile.rows)
                for v in range(config.vectors)
            ]

        def multiply(block: Expr, i: Expr, j: Index, ci: Expr) -> list[tirx.Stmt]:
            statements = []
            for row in range(tile.rows):
                where = self._input(n, h, tile, row, block, i, j, ci)
                if where is None:
                    continue
                for v in range(config.vectors):

                    def add(lane: Expr, row: int = row, v: int = v, where: list[Expr] = where) -> tirx.Stmt:
                        factor = loops.load(self.weight, [panel, block, i, j, ci, lane + v * config.lanes])
                        total = loops.load(sums, place(row, v, lane)) + loops.load(self.x, where) * factor
                        return loops.store(sums, total, place(row, v, lane))

                    statements.append(loops.vector(config.lanes, add))
            return statements

        zero = tirx.const(0.0, self.x.dtype)
        start = each(lambda row, v, lane: loops.store(sums, zero, place(row, v, lane)))
        finish = self._stores(n, h, tile, panel, lambda row, v, lane: loops.load(sums, place(row, v, lane)), True)
        reduction = self._reduction(h, tile, chunk, multiply)
        if chunk is None:
            return [loops.allocate(sums), *start, *reduction, *finish]
        keep = self._stores(n, h, tile, panel, lambda row, v, lane: loops.load(sums, place(row, v, lane)), False)
        resume = self._resume(
            n, h, tile, panel, lambda value, row, v, lane: loops.store(sums, value, place(row, v, lane))
        )
        return [
            loops.allocate(sums),
            *start,
            loops.when(chunk > 0, resume),
            *reduction,
            loops.when(chunk < chunks - 1, keep, finish),
        ]

    def _reduction(
        self,
        h: Expr | None,
        tile: _Tile,
        chunk: Expr | None,
        multiply: Callable[[Expr, Expr, Index, Expr], list[tirx.Stmt]],
    ) -> list[tirx.Stmt]:
        from tvm import tirx

        problem = self.problem
        in_block = int(self.weight.shape[4])
        first = chunk * self.config.chunk if chunk is not None else loops.index(0)
        border = not problem.is_pointwise and not self._touches_no_border(tile)

        def columns(block: Expr, i: Expr) -> list[tirx.Stmt]:
            def inner(j: Index) -> tirx.Stmt | None:
                body = multiply(block, i, j, loops.index(0))
                if not body:
                    return None
                return loops.serial(in_block, lambda ci: multiply(block, i, j, ci), "ci")

            if border:
                return [s for j in range(problem.kernel[1]) if (s := inner(j)) is not None]
            return [
                loops.serial(
                    problem.kernel[1],
                    lambda j: [loops.serial(in_block, lambda ci: multiply(block, i, j, ci), "ci")],
                    "j",
                )
            ]

        low: Index = 0
        extent: Index = problem.kernel[0]
        top, _, bottom, _ = problem.padding
        if h is not None and (top or bottom):
            stride, dilation = problem.strides[0], problem.dilations[0]
            above = top - h * stride
            low = tirx.max(loops.index(0), (above + (dilation - 1)) // dilation)
            high = tirx.min(loops.index(problem.kernel[0]), (above + (problem.height - 1)) // dilation + 1)
            extent = high - low
        return [
            loops.serial(
                self.config.chunk,
                lambda block: [loops.serial(extent, lambda i: columns(block + first, i), "i", low)],
                "block",
            )
        ]

    def _touches_no_border(self, tile: _Tile) -> bool:
        return not isinstance(tile.start, int) or self._is_inside(tile)

    def _input(
        self, n: Expr, h: Expr | None, tile: _Tile, row: int, block: Expr, i: Expr, j: Index, ci: Expr
    ) -> list[Expr] | None:
        """Where a product's factor lies in x; None when it is padding."""
        problem = self.problem
        if h is None:
            pixel = loops.index(tile.start) + row
            ih, iw = pixel // problem.width, pixel % problem.width
        else:
            top, left, _, _ = problem.padding
            if isinstance(tile.start, int) and isinstance(j, int):
                column = self._column(tile.start + row, j)
                if not 0 <= column < problem.width:
                    return None
                iw = loops.index(column)
            else:
                iw = (loops.index(tile.start) + row) * problem.strides[1] + loops.index(j) * problem.dilations[1] - left
            ih = h * problem.strides[0] + i * problem.dilations[0] - top
        if self.is_product:
            return [*self._row(pixel), ci]
        if len(self.x.shape) == 4:
            return [n, block * int(self.weight.shape[4]) + ci, ih, iw]
        return [n, block, ih, iw, ci]

    def _output(self, n: Expr, h: Expr | None, tile: _Tile, panel: Expr, row: int, v: int, lane: Expr) -> list[Expr]:
        if self.is_product:
            row_index = self._row(loops.index(tile.start) + row)
            return [*row_index, panel * self.config.panel + v * self.config.lanes + lane]
        block = int(self.epilogue.anchor.shape[4])
        pixel = loops.index(tile.start) + row
        oh, ow = (pixel // self.problem.width, pixel % self.problem.width) if h is None else (h, pixel)
        channel = panel * self.config.panel + v * self.config.lanes
        if block % self.config.lanes == 0:  # a vector lies in one block
            return [n, channel // block, oh, ow, channel % block + lane]
        return [n, loops.index(0), oh, ow, channel + lane]

    def _row(self, pixel: Expr) -> list[Expr]:
        """The index of a row of a matrix whose rows have several dimensions."""
        found: list[Expr] = []
        for extent in reversed([int(extent) for extent in self.x.shape[1:-1]]):
            found.insert(0, pixel % extent)
            pixel = pixel // extent
        return [pixel, *found]

    def _stores(
        self,
        n: Expr,
        h: Expr | None,
        tile: _Tile,
        panel: Expr,
        value: Callable[[int, int, Expr], Expr],
        is_last: bool,
    ) -> list[tirx.Stmt]:
        """Write the tile, through the epilogue when the sums are complete."""
        target = self.epilogue.target

        def one(row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = self._output(n, h, tile, panel, row, v, lane)
            result = self.epilogue.apply(value(row, v, lane), indices) if is_last else value(row, v, lane)
            return loops.store(target, result, indices)

        return self._by_vector(panel, tile, one)

    def _resume(
        self,
        n: Expr,
        h: Expr | None,
        tile: _Tile,
        panel: Expr,
        put: Callable[[Expr, int, int, Expr], tirx.Stmt],
    ) -> list[tirx.Stmt]:
        """Read the partial sums of the tile back."""

        def one(row: int, v: int, lane: Expr) -> tirx.Stmt:
            return put(loops.load(self.epilogue.target, self._output(n, h, tile, panel, row, v, lane)), row, v, lane)

        return self._by_vector(panel, tile, one)

    def _by_vector(self, panel: Expr, tile: _Tile, one: Callable[[int, int, Expr], tirx.Stmt]) -> list[tirx.Stmt]:
        """`one` for every vector of the tile, shortened where the channels end within a vector."""
        config = self.config
        panels = int(self.weight.shape[0])

        def all_vectors(lanes_of: Sequence[int]) -> list[tirx.Stmt]:
            return [
                loops.vector(lanes_of[v], lambda lane, row=row, v=v: one(row, v, lane))
                for row in range(tile.rows)
                for v in range(config.vectors)
                if lanes_of[v]
            ]

        last = self.problem.out_channels - (panels - 1) * config.panel
        short = [min(config.lanes, max(0, last - v * config.lanes)) for v in range(config.vectors)]
        whole = [config.lanes] * config.vectors
        if short == whole:
            return all_vectors(whole)
        if panels == 1:
            return all_vectors(short)
        return [loops.when(panel < panels - 1, all_vectors(whole), all_vectors(short))]
