"""Maxima and averages over windows: vectors along the channels of a block, neighbouring pixels in registers.

y[n, c, h, w] = max (or mean) over i, j of  x[n, c, h*s + i*d - p, w*s + j*d - p]

for image, block, line in parallel(...):
    for tile in ...:                           # rows pixels along the width
        for v in ...:                          # the block's vectors
            for i in rows of the window:
                for j, row in unrolled(...):   # neighbours share what they read of x
                    results[row] = max(results[row], x[...])
            y[tile] = epilogue(results)        # divided by the size of the window, for an average

Small windows have several partial results, so that no operation waits for the one before.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.implementation import Implementation
from edgecompile.pooling import Pooling
from edgecompile.target import CpuFacts, Target

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.block_vectors import over_vectors
from schedules.cpu.depthwise_convolution import DepthwiseConfig
from schedules.cpu.direct.config import FLOAT_BYTES, LOADS_PER_CYCLE
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.image_tiles import ImageTiles, Tile
from schedules.cpu.problem_numbers import read_problem
from schedules.cpu.template import Anchor, attributes

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr, Index

POOLING = "pooling"
_BYTES = {"float32": FLOAT_BYTES, "int8": 1}

# Of reading x, on a Zen 5 server: from the second-level cache and beyond.
READ_BYTES_PER_CYCLE = 16
FEW_ROWS = 4  # of a tile: then each has as many partial results
MOST_UNROLLED = 8  # columns of a window in one piece of code
MOST_AT_BORDERS = 16  # columns of a window; with padding they cannot be in a loop


def pooling_ways(pooling: Pooling, block: int, facts: CpuFacts) -> Sequence[Implementation]:
    """The template on blocks; none for very wide windows that reach over the border."""
    windows = pooling.windows
    tiles = ImageTiles(windows, 1)
    if windows.kernel[1] > MOST_AT_BORDERS and any(
        tiles.touches_border(Tile(loops.index(0), start, 1)) for start in range(windows.out_width)
    ):
        return ()
    config = _config(pooling, block, facts)
    numbers = {
        "kind": pooling.kind,
        "windows": dataclasses.asdict(windows),
        "counts_padding": pooling.counts_padding,
        "dtype": pooling.dtype,
        "config": dataclasses.asdict(config),
    }
    notes = attributes(POOLING, numbers)
    return (
        Implementation(
            name=f"{pooling.kind}_pool {config.rows}x{config.lanes}",
            cycles=_cycles(windows.macs, pooling, config),
            pack=lambda weight: [],
            compute=lambda x: pool(x, pooling, notes),
        ),
    )


def _config(pooling: Pooling, block: int, facts: CpuFacts) -> DepthwiseConfig:
    """That of a depthwise convolution, with vectors as wide as there are bytes of a block."""
    config = DepthwiseConfig.choose(pooling.windows, block, facts)
    if pooling.dtype == "float32":
        return config
    lanes = facts.vector_bytes
    while lanes > 1 and block <= lanes // 2:
        lanes //= 2
    return dataclasses.replace(config, lanes=lanes)


def _cycles(reads: int, pooling: Pooling, config: DepthwiseConfig) -> float:
    """What one core needs: the loads, and the way of x from beyond the first-level cache."""
    windows = pooling.windows
    elements = windows.batch * windows.in_channels * windows.height * windows.width
    return reads / config.lanes / LOADS_PER_CYCLE + elements * _BYTES[pooling.dtype] / READ_BYTES_PER_CYCLE


def pool(x: te.Tensor, pooling: Pooling, attributes: dict[str, str]) -> te.Tensor:
    """The pooling as a formula; x is `[N, C / b, H, W, b]`, the result has the same blocks."""
    from tvm import te, tirx

    windows = pooling.windows
    top, left, _, _ = windows.padding
    row, column = (
        te.reduce_axis((loops.index(0), loops.index(windows.kernel[axis])), name) for axis, name in ((0, "i"), (1, "j"))
    )
    is_max = pooling.kind == "max"

    def value(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        ih = h * windows.strides[0] + row * windows.dilations[0] - top
        iw = w * windows.strides[1] + column * windows.dilations[1] - left
        inside = tirx.all(ih >= 0, ih < windows.height, iw >= 0, iw < windows.width)
        outside = tirx.min_value(x.dtype) if is_max else tirx.const(0.0, x.dtype)
        read = tirx.if_then_else(inside, x(n, block, ih, iw, lane), outside)
        return te.max(read, axis=[row, column]) if is_max else te.sum(read, axis=[row, column])

    shape = [windows.batch, x.shape[1], windows.out_height, windows.out_width, x.shape[4]]
    shape = [loops.index(extent) for extent in shape]
    name = f"{pooling.kind}_pool"
    found = te.compute(shape, value, name=name, attrs=attributes)
    if is_max:
        return found

    def mean(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        met = _met(windows.kernel[0], h, 0, pooling) * _met(windows.kernel[1], w, 1, pooling)
        return found(n, block, h, w, lane) / tirx.max(met, loops.index(1)).astype(x.dtype)

    return te.compute(shape, mean, name=f"{name}_mean", attrs=attributes)


def _met(extent: int, pixel: Expr, axis: int, pooling: Pooling) -> Expr:
    """How many of a window's rows or columns count for an output pixel."""
    from tvm import tirx

    if pooling.counts_padding:
        return loops.index(extent)
    windows = pooling.windows
    first = pixel * windows.strides[axis] - windows.padding[axis]
    size, dilation = (windows.height, windows.width)[axis], windows.dilations[axis]
    low = tirx.max(loops.index(0), (dilation - 1 - first) // dilation)
    high = tirx.min(loops.index(extent), (size - 1 - first) // dilation + 1)
    return tirx.max(high - low, loops.index(0))


def emit_pooling(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    """The loops for blocks that a way of this template annotated."""
    del target
    numbers = anchor.numbers
    windows = read_problem(numbers["windows"])
    pooling = Pooling(numbers["kind"], windows, bool(numbers["counts_padding"]), numbers["dtype"])
    return PoolingLoops(pooling, DepthwiseConfig(**numbers["config"]), anchor.reads[0], epilogue).emit()


@dataclass(frozen=True)
class PoolingLoops:
    """Makes the loops of one pooling; x is `[N, C/b, H, W, b]`."""

    pooling: Pooling
    config: DepthwiseConfig
    x: tirx.Buffer
    epilogue: Epilogue

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        windows, blocks, block = self.pooling.windows, int(self.x.shape[1]), int(self.x.shape[4])
        lines = windows.out_height

        def task(index: Expr) -> list[tirx.Stmt]:
            image, number, line = index // (blocks * lines), index // lines % blocks, index % lines

            def vectors(tile: Tile) -> list[tirx.Stmt]:
                return over_vectors(
                    block, self.config.lanes, lambda first, lanes: self._tile(tile, [image, number], first, lanes)
                )

            return self._tiles.of_line(line, vectors)

        return loops.parallel(windows.batch * blocks * lines, task)

    @property
    def _tiles(self) -> ImageTiles:
        return ImageTiles(self.pooling.windows, self.config.rows)

    @property
    def _is_max(self) -> bool:
        return self.pooling.kind == "max"

    def _joined(self, first: Expr, second: Expr) -> Expr:
        from tvm import tirx

        return tirx.max(first, second) if self._is_max else first + second

    def _tile(self, tile: Tile, at: list[Expr], first: Expr, lanes: int) -> list[tirx.Stmt]:
        """All windows of one tile.

        Args:
            at: image and block.
            first: channel of the block.
        """
        from tvm import tirx

        assert tile.line is not None
        line = tile.line
        width, dtype = self.pooling.windows.kernel[1], str(self.x.dtype)
        parts = min(FEW_ROWS, width) if tile.rows < FEW_ROWS else 1
        results = Accumulators.make(tile.rows, parts, lanes, dtype)

        def column(i: Expr, j: Index, part: int) -> list[tirx.Stmt]:
            places = [(row, self._tiles.source(tile, row, i, j)) for row in range(tile.rows)]
            return [self._join(results, row, part, [*at, *place], first) for row, place in places if place is not None]

        def columns(i: Expr) -> list[tirx.Stmt]:
            if self._tiles.touches_border(tile) or width <= MOST_UNROLLED:
                return [statement for j in range(width) for statement in column(i, j, j % parts)]
            whole, rest = divmod(width, MOST_UNROLLED)

            def group(start: Expr, count: int) -> list[tirx.Stmt]:
                return [statement for j in range(count) for statement in column(i, start + j, j % parts)]

            loop = loops.serial(whole, lambda number: group(number * MOST_UNROLLED, MOST_UNROLLED), "columns")
            return [loop, *group(loops.index(whole * MOST_UNROLLED), rest)]

        def finish(row: int, part: int, lane: Expr) -> tirx.Stmt:
            del part  # the first stands for all
            value = results.get(row, 0, lane)
            for other in range(1, parts):
                value = self._joined(value, results.get(row, other, lane))
            if not self._is_max:
                value = value * self._reciprocal(tile, row)
            indices = [*at, line, tile.pixel(row), first + lane]
            return self.epilogue.store(value, indices)

        low, extent = self._tiles.kernel_rows(line)
        start = tirx.min_value(dtype) if self._is_max else tirx.const(0.0, dtype)
        rows = [loops.serial(extent, columns, "i", low)] if columns(loops.index(0)) else []
        return [*results.start(start), *rows, *results.each(finish, [lanes] + [0] * (parts - 1))]

    def _join(self, results: Accumulators, row: int, part: int, place: list[Expr], first: Expr) -> tirx.Stmt:
        def one(lane: Expr) -> tirx.Stmt:
            value = loops.load(self.x, [*place, first + lane])
            return results.put(self._joined(results.get(row, part, lane), value), row, part, lane)

        return loops.vector(results.lanes, one)

    def _reciprocal(self, tile: Tile, row: int) -> Expr:
        """One over the number of pixels that count for an average."""
        from tvm import tirx

        dtype, windows = str(self.x.dtype), self.pooling.windows
        if self.pooling.counts_padding:
            return tirx.const(1.0 / math.prod(windows.kernel), dtype)
        columns = sum(
            self._tiles.source(tile, row, 0, j) is not None if self._tiles.touches_border(tile) else True
            for j in range(windows.kernel[1])
        )
        _, rows = self._tiles.kernel_rows(tile.line)
        if isinstance(rows, int):
            return tirx.const(1.0 / max(1, rows * columns), dtype)
        return tirx.const(1.0, dtype) / tirx.max(rows * columns, loops.index(1)).astype(dtype)
