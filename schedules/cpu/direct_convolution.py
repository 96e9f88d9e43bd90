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

from edgecompile.convolution import Convolution

from schedules.cpu import loops
from schedules.cpu.direct_config import DirectConfig
from schedules.cpu.epilogue import Epilogue

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    PerVector = Callable[[int, int, Expr], tirx.Stmt]  # of a tile's row, its vector, and the lane


@dataclass(frozen=True)
class _Task:
    """Where the loops around a tile stand.

    Attributes:
        image: of the batch.
        panel: of output channels.
        chunk: of input channels; None where all are one chunk.
    """

    image: Expr
    panel: Expr
    chunk: Expr | None


@dataclass(frozen=True)
class _Tile:
    """Neighbouring pixels along the width.

    Attributes:
        line: the output row; None for products of matrices, whose rows are all one line.
        start: the first pixel; a number where the tile touches a border.
        rows: how many.
    """

    line: Expr | None
    start: Index
    rows: int


@dataclass(frozen=True)
class DirectConvolution:
    """Makes the loops of one convolution.

    Attributes:
        x: `[N, C, H, W]` or `[N, C/b, H, W, b]`; `[*rows, C]` for a product of matrices.
        weight: `[panels, blocks of input channels, KH, KW, block, panel]`.
        is_product: the rows of x are its pixels, and the result is `[*rows, K]`.
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
        panels, bands = self._panels, self._bands

        def task(index: Expr) -> list[tirx.Stmt]:
            if self.config.pixels_outside:
                image, band = index // bands, index % bands
                return [loops.serial(panels, lambda panel: self._chunks(image, band, panel), "panel")]
            return self._chunks(index // (bands * panels), index % bands, index // bands % panels)

        tasks = self.problem.batch * bands * (1 if self.config.pixels_outside else panels)
        return loops.parallel(tasks, task)

    @property
    def _panels(self) -> int:
        return int(self.weight.shape[0])

    @property
    def _chunk_count(self) -> int:
        """One where partial sums would not fit the elements of the result."""
        if str(self.epilogue.target.dtype) != str(self.epilogue.anchor.dtype):
            return 1
        return int(self.weight.shape[1]) // self.config.chunk

    @property
    def _pixels(self) -> int:
        return self.problem.height * self.problem.width

    @property
    def _units(self) -> int:
        """Rows of the image, or tiles of a product of matrices."""
        return math.ceil(self._pixels / self.config.rows) if self.problem.is_pointwise else self.problem.out_height

    @property
    def _band(self) -> int:
        """Units of one task: a row of an image is work enough, and so are a few tiles of a product."""
        if self.config.pixels_outside:
            return max(1, min(self._units // (4 * self.num_cores), 4)) if self.problem.is_pointwise else 1
        return self._units if self._panels >= self.num_cores else math.ceil(self._units / self.num_cores)

    @property
    def _bands(self) -> int:
        return math.ceil(self._units / self._band)

    def _chunks(self, image: Expr, band: Expr, panel: Expr) -> list[tirx.Stmt]:
        pixels = self._product_band if self.problem.is_pointwise else self._image_band
        if self._chunk_count == 1:
            return pixels(_Task(image, panel, None), band)
        return [loops.serial(self._chunk_count, lambda chunk: pixels(_Task(image, panel, chunk), band), "chunk")]

    def _product_band(self, task: _Task, band: Expr) -> list[tirx.Stmt]:
        """Whole tiles in a loop; the pixels that are left, after the last one."""
        from tvm import tirx

        rows = self.config.rows
        full, rest = divmod(self._pixels, rows)
        first = band * self._band
        statements: list[tirx.Stmt] = []
        if full:
            whole = full == self._bands * self._band
            extent = self._band if whole else tirx.min(loops.index(self._band), full - first)
            statements.append(
                loops.serial(extent, lambda tile: self._tile(task, _Tile(None, tile * rows, rows)), "tile", first)
            )
        if rest:
            tail = self._tile(task, _Tile(None, full * rows, rest))
            statements += [loops.when(band.equal(self._bands - 1), tail)] if self._bands > 1 else tail
        return statements

    def _image_band(self, task: _Task, band: Expr) -> list[tirx.Stmt]:
        from tvm import tirx

        if self._band == 1:
            return self._line(task, band)
        start = band * self._band
        extent: Index = self._band
        if self.problem.out_height % self._band:
            extent = tirx.min(loops.index(self._band), self.problem.out_height - start)
        return [loops.serial(extent, lambda line: self._line(task, line), "line", start)]

    def _line(self, task: _Task, line: Expr) -> list[tirx.Stmt]:
        """One row of the output: tiles at the borders one by one, those between them in a loop."""
        statements: list[tirx.Stmt] = []
        for first, rows, count in self._runs():
            if count == 1:
                statements += self._tile(task, _Tile(line, first, rows))
            else:
                statements.append(self._run(task, line, first, rows, count))
        return statements

    def _run(self, task: _Task, line: Expr, first: int, rows: int, count: int) -> tirx.Stmt:
        return loops.serial(count, lambda tile: self._tile(task, _Tile(line, tile * rows + first, rows)), "tile")

    def _runs(self) -> list[tuple[int, int, int]]:
        """The tiles of a line as (first pixel, rows, count), those that no padding touches together."""
        width, rows = self.problem.out_width, self.config.rows
        runs: list[tuple[int, int, int]] = []
        joins = False
        for start in range(0, width, rows):
            size = min(rows, width - start)
            inside = size == rows and self._is_inside(start, size)
            if inside and joins:
                runs[-1] = (runs[-1][0], rows, runs[-1][2] + 1)
            else:
                runs.append((start, size, 1))
            joins = inside
        return runs

    def _is_inside(self, start: int, rows: int) -> bool:
        """True when the kernel around every one of these pixels lies within the image's width."""
        pixels, columns = (start, start + rows - 1), (0, self.problem.kernel[1] - 1)
        return all(0 <= self._column(pixel, j) < self.problem.width for pixel in pixels for j in columns)

    def _column(self, pixel: int, j: int) -> int:
        return pixel * self.problem.strides[1] + j * self.problem.dilations[1] - self.problem.padding[1]

    def _tile(self, task: _Task, tile: _Tile) -> list[tirx.Stmt]:
        """The sums of one tile, in registers from their start to their end."""
        from tvm import tirx

        config = self.config
        dtype = str(self.x.dtype)
        sums = loops.local_buffer([tile.rows * config.panel], dtype, "sums")

        def place(row: int, v: int, lane: Expr) -> list[Index]:
            return [lane + (row * config.vectors + v) * config.lanes]

        def put(value: Expr, row: int, v: int, lane: Expr) -> tirx.Stmt:
            return loops.store(sums, value, place(row, v, lane))

        def clear(row: int, v: int, lane: Expr) -> tirx.Stmt:
            return put(tirx.const(0.0, dtype), row, v, lane)

        def resume(row: int, v: int, lane: Expr) -> tirx.Stmt:
            return put(loops.load(self.epilogue.target, self._output(task, tile, row, v, lane)), row, v, lane)

        def keep(row: int, v: int, lane: Expr) -> tirx.Stmt:
            value = loops.load(sums, place(row, v, lane))
            return loops.store(self.epilogue.target, value, self._output(task, tile, row, v, lane))

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = self._output(task, tile, row, v, lane)
            value = self.epilogue.apply(loops.load(sums, place(row, v, lane)), indices)
            return loops.store(self.epilogue.target, value, indices)

        def multiply(row: int, factor: Sequence[Expr], weight: Sequence[Index]) -> list[tirx.Stmt]:
            def add(v: int, lane: Expr) -> tirx.Stmt:
                product = loops.load(self.x, factor) * loops.load(self.weight, [*weight, lane + v * config.lanes])
                return put(loops.load(sums, place(row, v, lane)) + product, row, v, lane)

            return [_vector(config.lanes, add, v) for v in range(config.vectors)]

        start = self._each(tile, [config.lanes] * config.vectors, clear)
        reduction = self._reduction(task, tile, multiply)
        if task.chunk is None:
            return [loops.allocate(sums), *start, *reduction, *self._by_vector(task, tile, finish)]
        last = task.chunk.equal(self._chunk_count - 1)
        return [
            loops.allocate(sums),
            *start,
            loops.when(task.chunk > 0, self._by_vector(task, tile, resume)),
            *reduction,
            loops.when(last, self._by_vector(task, tile, finish), self._by_vector(task, tile, keep)),
        ]

    def _reduction(
        self, task: _Task, tile: _Tile, multiply: Callable[[int, Sequence[Expr], Sequence[Index]], list[tirx.Stmt]]
    ) -> list[tirx.Stmt]:
        """The loops over a chunk of input channels and the kernel."""
        blocks = int(self.weight.shape[1]) // self._chunk_count
        first = task.chunk * blocks if task.chunk is not None else loops.index(0)
        # Only tiles at a border have a known start: there each column of the kernel has its own products.
        at_border = tile.line is not None and isinstance(tile.start, int) and not self._is_inside(tile.start, tile.rows)

        def products(block: Expr, i: Expr, j: Index, ci: Expr) -> list[tirx.Stmt]:
            places = [self._input(task, tile, row, block, i, j, ci) for row in range(tile.rows)]
            weight = [task.panel, block, i, j, ci]
            return [s for row, place in enumerate(places) if place is not None for s in multiply(row, place, weight)]

        def channels(block: Expr, i: Expr, j: Index) -> list[tirx.Stmt]:
            if not products(block, i, j, loops.index(0)):
                return []
            return [loops.serial(int(self.weight.shape[4]), lambda ci: products(block, i, j, ci), "ci")]

        def columns(block: Expr, i: Expr) -> list[tirx.Stmt]:
            width = self.problem.kernel[1]
            if at_border:
                return [statement for j in range(width) for statement in channels(block, i, j)]
            return [loops.serial(width, lambda j: channels(block, i, j), "j")]

        low, extent = self._kernel_rows(tile)
        return [
            loops.serial(
                blocks, lambda block: [loops.serial(extent, lambda i: columns(block + first, i), "i", low)], "block"
            )
        ]

    def _kernel_rows(self, tile: _Tile) -> tuple[Index, Index]:
        """The first row of the kernel that lies within the image's height, and how many do."""
        from tvm import tirx

        problem = self.problem
        top, _, bottom, _ = problem.padding
        if tile.line is None or not (top or bottom):
            return 0, problem.kernel[0]
        dilation = problem.dilations[0]
        above = top - tile.line * problem.strides[0]
        low = tirx.max(loops.index(0), (above + (dilation - 1)) // dilation)
        high = tirx.min(loops.index(problem.kernel[0]), (above + (problem.height - 1)) // dilation + 1)
        return low, tirx.max(high - low, loops.index(0))

    def _input(self, task: _Task, tile: _Tile, row: int, block: Expr, i: Expr, j: Index, ci: Expr) -> list[Expr] | None:
        """Where a product's factor lies in x; None when it is padding."""
        problem = self.problem
        if tile.line is None:
            pixel = loops.index(tile.start) + row
            if self.is_product:
                return [*self._row(pixel), ci]
            ih, iw = pixel // problem.width, pixel % problem.width
        else:
            top, left, _, _ = problem.padding
            if isinstance(tile.start, int) and isinstance(j, int):
                column = self._column(tile.start + row, j)
                if not 0 <= column < problem.width:
                    return None
                iw = loops.index(column)
            else:
                first = (loops.index(tile.start) + row) * problem.strides[1] - left
                iw = first + loops.index(j) * problem.dilations[1]
            ih = tile.line * problem.strides[0] + i * problem.dilations[0] - top
        if len(self.x.shape) == 4:
            return [task.image, block * int(self.weight.shape[4]) + ci, ih, iw]
        return [task.image, block, ih, iw, ci]

    def _output(self, task: _Task, tile: _Tile, row: int, v: int, lane: Expr) -> list[Expr]:
        pixel = loops.index(tile.start) + row
        channel = task.panel * self.config.panel + v * self.config.lanes
        if self.is_product:
            return [*self._row(pixel), channel + lane]
        h, w = (
            (tile.line, pixel) if tile.line is not None else (pixel // self.problem.width, pixel % self.problem.width)
        )
        block = int(self.epilogue.anchor.shape[4])
        if block % self.config.lanes == 0:  # a vector lies in one block
            return [task.image, channel // block, h, w, channel % block + lane]
        return [task.image, loops.index(0), h, w, channel + lane]

    def _row(self, pixel: Expr) -> list[Expr]:
        """The index of a row of a matrix whose rows have several dimensions."""
        found: list[Expr] = []
        for extent in reversed([int(extent) for extent in self.x.shape[1:-1]]):
            found.insert(0, pixel % extent)
            pixel = pixel // extent
        return [pixel, *found]

    def _by_vector(self, task: _Task, tile: _Tile, one: PerVector) -> list[tirx.Stmt]:
        """`one` for every vector of the tile, shortened where the channels end within a vector."""
        config = self.config
        left = self.problem.out_channels - (self._panels - 1) * config.panel
        short = [min(config.lanes, max(0, left - v * config.lanes)) for v in range(config.vectors)]
        whole = [config.lanes] * config.vectors
        if short == whole or self._panels == 1:
            return self._each(tile, short, one)
        is_last = task.panel.equal(self._panels - 1)
        return [loops.when(is_last, self._each(tile, short, one), self._each(tile, whole, one))]

    def _each(self, tile: _Tile, lanes: Sequence[int], one: PerVector) -> list[tirx.Stmt]:
        def at_row(row: int) -> Callable[[int, Expr], tirx.Stmt]:
            return lambda v, lane: one(row, v, lane)

        return [_vector(count, at_row(row), v) for row in range(tile.rows) for v, count in enumerate(lanes) if count]


def _vector(lanes: int, body: Callable[[int, Expr], tirx.Stmt], v: int) -> tirx.Stmt:
    return loops.vector(lanes, lambda lane: body(v, lane))
