"""Products of few rows with a matrix whose codes are decoded in registers, right before they are multiplied.

    y[row, k] = sum over runs of  scale[run, k] * sum over c in run of  x[row, c] * (code[c, k] - zero[run, k])

With one row each weight is read for one product: the time is that of reading the matrix, which takes an eighth of its
floats in codes of 4 bits. With many rows a float matrix, decoded once, costs less than to decode it for every tile.

    for panel in parallel(panels):
        for run in runs:                           # rows of the matrix with one scale for each column
            for c in run:
                for v in unrolled(vectors):
                    w = float(code[panel, c, v]) - zero[v]
                    for row in unrolled(rows):
                        part[row, v] += x[row, c] * w
            sums[row, v] += scale[panel, run, v] * part[row, v]
        y[panel] = epilogue(sums)

The scale is taken out of the sum, which changes results by float32's rounding alone: integers up to 255 are exact.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation
from edgecompile.storage.stored_weight import CodedWeight, HalfWeight, StoredWeight
from edgecompile.target import CpuFacts, Target

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.direct.config import FLOAT_BYTES, FMA_LATENCY, LONGEST_SUM, MEMORY_BYTES_PER_CYCLE
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.stored.formula import HALF_BYTE, StoredConfig, multiply_stored, pack_stored
from schedules.cpu.template import Anchor, attributes

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.accumulators import PerVector
    from schedules.cpu.loops import Expr

STORED_PRODUCT = "stored product"

MOST_ROWS = 4  # beyond, each code is decoded for less and less gain
_BYTE, _HALF_FLOAT = 8, 16
# Widening a vector of codes, turning it into floats and taking off the zero point: three operations, two of which start
# in each cycle.
_DECODE_CYCLES = 1.5


def stored_ways(
    rows: Sequence[int], problem: Convolution, weight: StoredWeight, facts: CpuFacts
) -> Sequence[Implementation]:
    """The template, where codes are of 4 or 8 bits without a table or half floats, and the rows are few.

    Args:
        rows: x is `[*rows, C]`.
        weight: `[C, K]`.
    """
    config = choose(math.prod(rows), weight, facts)
    if config is None:
        return ()
    notes = attributes(STORED_PRODUCT, {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)})

    def compute(x: te.Tensor, *arrays: te.Tensor) -> te.Tensor:
        return multiply_stored(x, list(arrays), problem.out_channels, config, notes)

    return (
        Implementation(
            name=f"matmul_stored {config.rows}x{config.panel} of {config.bits} bits",
            cycles=_cycles(problem, weight, config, facts),
            pack=lambda matrix: [matrix],
            compute=compute,
            pack_stored=lambda stored: pack_stored(stored, config),
        ),
    )


def choose(rows: int, weight: StoredWeight, facts: CpuFacts) -> StoredConfig | None:
    """As many vectors as keep their sums in registers; None where the template does not take the weight."""
    lanes = facts.vector_bytes // FLOAT_BYTES
    inner, columns = weight.shape
    if not 1 <= rows <= MOST_ROWS or columns < lanes or min(weight.shape) == 0:
        return None
    if isinstance(weight, HalfWeight):
        bits, run, zero = _HALF_FLOAT, inner, None
        if weight.values.dtype.name == "float16" and not _widens_float16(facts):
            return None
    else:
        if not isinstance(weight, CodedWeight) or weight.zero_point is None or weight.bits not in (HALF_BYTE, _BYTE):
            return None
        bits, run = weight.bits, inner // weight.scale.shape[0]
        zero = int(weight.zero_point.reshape(-1)[0]) if weight.zero_point.size == 1 else None
    run = max(part for part in range(1, min(run, LONGEST_SUM) + 1) if run % part == 0)
    step = 2 if bits == HALF_BYTE else 1
    # Two sets of sums, and of each vector its zero points and what is decoded; enough sums to hide their latency.
    fitting = (facts.vector_registers - 2) // (2 * rows + 2)
    wanted = max(FMA_LATENCY * facts.fma_ports // rows, step)
    count = math.ceil(columns / lanes)
    most = max(step, min(fitting, wanted, count) // step * step)
    # Panels that end near the last column: what fills up the last one is stored too.
    vectors = min(
        range(max(step, most // 2 // step * step), most + 1, step), key=lambda v: (math.ceil(count / v) * v, -v)
    )
    return StoredConfig(rows, vectors, lanes, run, bits, zero)


def _widens_float16(facts: CpuFacts) -> bool:
    """AArch64 always does, x86 with F16C; others convert one by one."""
    return facts.multiplies_by_lane or "f16c" in facts.features


def _cycles(problem: Convolution, weight: StoredWeight, config: StoredConfig, facts: CpuFacts) -> float:
    """Of one core: the work, and the codes' way from memory, as `DirectConfig.cycles` counts them."""
    vectors = problem.in_channels * math.ceil(problem.out_channels / config.lanes)
    decode = _DECODE_CYCLES if config.bits != _HALF_FLOAT else _DECODE_CYCLES / 3
    return vectors * (decode + config.rows / facts.fma_ports) + weight.nbytes / MEMORY_BYTES_PER_CYCLE


def emit_stored(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    """The loops of an annotated block."""
    del target
    x, *arrays = anchor.reads
    config = StoredConfig(**anchor.numbers["config"])
    return StoredProduct(int(anchor.numbers["problem"]["out_channels"]), config, x, arrays, epilogue).emit()


@dataclass(frozen=True)
class StoredProduct:
    """Makes the loops of one product.

    Attributes:
        x: `[*rows, C]`.
        arrays: the codes, and the scales and zero points where there are any, by their rank and dtype.
    """

    columns: int
    config: StoredConfig
    x: tirx.Buffer
    arrays: Sequence[tirx.Buffer]
    epilogue: Epilogue

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        return loops.parallel(self._panels, self._panel)

    @property
    def _panels(self) -> int:
        return math.ceil(self.columns / self.config.panel)

    @property
    def _scale(self) -> tirx.Buffer | None:
        return next((array for array in self.arrays if str(array.dtype) == "float32"), None)

    @property
    def _codes(self) -> tirx.Buffer:
        return max(
            (array for array in self.arrays if str(array.dtype) != "float32"),
            key=lambda array: (len(array.shape), math.prod(int(extent) for extent in array.shape)),
        )

    @property
    def _zeros(self) -> tirx.Buffer | None:
        if self.config.zero is not None or self._scale is None:
            return None
        return next(array for array in self.arrays if array is not self._codes and str(array.dtype) == "uint8")

    def _panel(self, panel: Expr) -> list[tirx.Stmt]:
        config = self.config
        sums = Accumulators.make(config.rows, config.vectors, config.lanes, "float32")
        runs = int(self.x.shape[-1]) // config.run

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = [*self._row(row), panel * config.panel + v * config.lanes + lane]
            return self.epilogue.store(sums.get(row, v, lane), indices)

        return [
            *sums.start(),
            loops.serial(runs, lambda run: self._run(sums, panel, run), "run"),
            *self._by_width(panel, sums, finish),
        ]

    def _run(self, sums: Accumulators, panel: Expr, run: Expr) -> list[tirx.Stmt]:
        """The products of the rows of one run, and their sums times the scale."""
        config = self.config
        part = Accumulators.make(config.rows, config.vectors, config.lanes, "float32")

        def channel(c: Expr) -> list[tirx.Stmt]:
            place = run * config.run + c

            def product(row: int, v: int, lane: Expr) -> Expr:
                return loops.load(self.x, [*self._row(row), place]) * self._weight(v, lane, panel, run, place)

            return [
                part.add_to(row, v, functools.partial(product, row, v))
                for v in range(config.vectors)
                for row in range(config.rows)
            ]

        def join(row: int, v: int, lane: Expr) -> tirx.Stmt:
            value = part.get(row, v, lane)
            if self._scale is not None:
                value = value * loops.load(self._scale, [panel, run, lane + v * config.lanes])
            return sums.put(sums.get(row, v, lane) + value, row, v, lane)

        return [*part.start(), loops.serial(config.run, channel, "c"), *part.each(join)]

    def _weight(self, v: int, lane: Expr, panel: Expr, run: Expr, place: Expr) -> Expr:
        """The code minus its zero point, or the half float, as float32."""
        from tvm import tirx

        config = self.config
        column = lane + v * config.lanes
        if self._scale is None:
            return tirx.Cast("float32", loops.load(self._codes, [panel, place, column]))
        if config.bits == HALF_BYTE:
            byte = loops.load(self._codes, [panel, place, v // 2, lane])
            four = tirx.const(HALF_BYTE, "uint8")
            code = tirx.shift_right(byte, four) if v % 2 else tirx.bitwise_and(byte, tirx.const(15, "uint8"))
        else:
            code = loops.load(self._codes, [panel, place, column])
        wide = tirx.Cast("float32", tirx.Cast("int32", code))
        if self._zeros is None:
            return wide - tirx.const(float(config.zero or 0), "float32")
        zero = loops.load(self._zeros, [panel, run, column])
        return wide - tirx.Cast("float32", tirx.Cast("int32", zero))

    def _row(self, row: int) -> list[Expr]:
        """The index of a row of x, whose rows may have several dimensions."""
        return loops.unflatten(loops.index(row), [int(extent) for extent in self.x.shape[:-1]])

    def _by_width(self, panel: Expr, sums: Accumulators, one: PerVector) -> list[tirx.Stmt]:
        """`one` for every vector, with code of its own for the last panel where that has fewer columns."""
        return sums.each_of_panel(one, panel, self._panels, self.columns)
