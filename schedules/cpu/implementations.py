"""What CPUs offer to the planner of layouts, and back from its annotations to loops."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation
from edgecompile.pooling import Pooling
from edgecompile.resizing import Resizing
from edgecompile.target import CpuFacts, Target
from edgecompile.transposed_convolution import TransposedConvolution

from schedules.cpu.batched_product import BatchedProduct, choose_tile, multiply_batches
from schedules.cpu.depthwise_convolution import (
    DepthwiseConfig,
    DepthwiseConvolution,
    convolve_depthwise,
    pack_depthwise,
)
from schedules.cpu.direct_config import FLOAT_BYTES, DirectConfig
from schedules.cpu.direct_convolution import DirectConvolution
from schedules.cpu.direct_formula import convolve, multiply, pack_weight
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.grouped_convolution import GROUPED, emit_grouped, grouped_ways
from schedules.cpu.pooling import POOLING, emit_pooling, pooling_ways
from schedules.cpu.problem_numbers import read_problem
from schedules.cpu.resizing import RESIZING, emit_resizing, resizing_ways
from schedules.cpu.template import Anchor, Emitter, attributes
from schedules.cpu.transposed_convolution import TRANSPOSED, emit_transposed, transposed_ways
from schedules.cpu.winograd_convolution import (
    WinogradConfig,
    WinogradConvolution,
    convolve_winograd,
    fits,
    pack_winograd,
)
from schedules.cpu.winograd_matrices import POINTS

if TYPE_CHECKING:
    from tvm import te, tirx

DIRECT, DEPTHWISE, WINOGRAD = "direct convolution", "depthwise convolution", "Winograd convolution"
PRODUCT, BATCHED = "packed product", "batched product"

# Of `LayoutConversion` per float, on a Zen 5 server with vectors of 32 and of 64 bytes: 0.4 to 0.7 within the L1 and L2
# caches, 0.9 to 1.2 beyond them. Blocks that do not divide into vectors of four take 2 to 5; they are rare.
CONVERSION_CYCLES = 1.0
# Of `RegisterTile` and `LoopNest` per multiply-add there: 0.04 to 0.6 where the sizes are large and divide, 0.6 to 0.8
# for a vector times a matrix, 2 to 6 for few channels. Taken from the upper end: a template is the safer choice.
PLAIN_CYCLES = 2.0


@dataclass(frozen=True)
class CpuImplementations:
    """The templates of this folder, for a CPU of these facts."""

    facts: CpuFacts

    @property
    def lanes(self) -> int:
        """Floats of a vector."""
        return self.facts.vector_bytes // FLOAT_BYTES

    def block(self, channels: int) -> int:
        """One vector where the channels divide by it; otherwise all of them."""
        return self.lanes if channels % self.lanes == 0 else channels

    def convolutions(self, problem: Convolution, in_block: int | None) -> Sequence[Implementation]:
        """Direct convolution and Winograd's, or those for groups, which read blocked tensors only."""
        out_block = self.block(problem.out_channels)
        if problem.groups != 1:
            if in_block is None:
                return ()
            if problem.is_depthwise:
                return (self._depthwise(problem, in_block),)
            return grouped_ways(problem, in_block, out_block, self.facts)
        direct = self._direct(problem, in_block or 1, out_block, None)
        if in_block is None or not fits(problem, in_block, out_block, self.facts):
            return (direct,)
        return (direct, *(self._winograd(problem, outputs) for outputs in POINTS))

    def transposed_convolutions(self, problem: TransposedConvolution, in_block: int) -> Sequence[Implementation]:
        """A direct convolution for each phase."""
        return transposed_ways(problem, in_block, self.block(problem.out_channels), self.facts)

    def poolings(self, pooling: Pooling, block: int) -> Sequence[Implementation]:
        """The template."""
        return pooling_ways(pooling, block, self.facts)

    def resizings(self, problem: Resizing, block: int) -> Sequence[Implementation]:
        """The template."""
        return resizing_ways(problem, block, self.facts)

    def products(self, rows: Sequence[int], problem: Convolution) -> Sequence[Implementation]:
        """The same template; the rows of x are its pixels."""
        return (self._direct(problem, problem.in_channels, problem.out_channels, tuple(rows)),)

    def batched_products(self, rows: int, inner: int, columns: int) -> Sequence[Implementation]:
        """A packed panel per thread; none where it would be too large."""
        config = choose_tile(rows, inner, columns, self.facts)
        if config is None:
            return ()
        notes = attributes(BATCHED, {"config": dataclasses.asdict(config)})
        problem = Convolution(1, inner, columns, 1, rows)
        return (
            Implementation(
                name=f"batch_matmul {config.rows}x{config.panel}",
                cycles=config.cycles(problem, self.facts),
                pack=lambda weight: [weight],
                compute=lambda a, w: multiply_batches(a, w, notes),
            ),
        )

    def conversion_cycles(self, elements: int) -> float:
        """In proportion to the elements."""
        return CONVERSION_CYCLES * elements

    def plain_cycles(self, operations: int) -> float:
        """In proportion to the operations."""
        return PLAIN_CYCLES * operations

    def _depthwise(self, problem: Convolution, block: int) -> Implementation:
        config = DepthwiseConfig.choose(problem, block, self.facts)
        notes = attributes(DEPTHWISE, {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)})
        return Implementation(
            name=f"depthwise {config.rows}x{config.lanes}",
            cycles=config.cycles(problem, self.facts),
            pack=lambda weight: [pack_depthwise(weight, block)],
            compute=lambda x, weight: convolve_depthwise(x, weight, problem, notes),
        )

    def _winograd(self, problem: Convolution, outputs: int) -> Implementation:
        config = WinogradConfig.choose(problem, outputs, self.facts)
        notes = attributes(WINOGRAD, {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)})
        return Implementation(
            name=f"conv2d_winograd F({outputs},3) {config.rows}x{config.panel}",
            cycles=config.cycles(problem, self.facts),
            pack=lambda weight: pack_winograd(weight, config),
            compute=lambda x, weight, b, a: convolve_winograd(x, weight, b, a, problem, config, notes),
        )

    def _direct(
        self, problem: Convolution, in_block: int, out_block: int, rows: tuple[int, ...] | None
    ) -> Implementation:
        config = DirectConfig.choose(problem, in_block, self.facts)
        numbers = {
            "problem": dataclasses.asdict(problem),
            "config": dataclasses.asdict(config),
            "is_product": rows is not None,
        }
        notes = attributes(DIRECT if rows is None else PRODUCT, numbers)

        def compute(x: te.Tensor, weight: te.Tensor) -> te.Tensor:
            if rows is None:
                return convolve(x, weight, problem, out_block, config.panel, notes)
            return multiply(x, weight, problem.out_channels, notes)

        return Implementation(
            name=f"{'conv2d' if rows is None else 'matmul'} {config.rows}x{config.panel}",
            cycles=config.cycles(problem, self.facts),
            pack=lambda weight: [pack_weight(weight, in_block, config)],
            compute=compute,
        )


def _emit_direct(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    x, weight = anchor.reads
    problem, config = read_problem(anchor.numbers["problem"]), DirectConfig(**anchor.numbers["config"])
    is_product = bool(anchor.numbers["is_product"])
    return DirectConvolution(problem, config, x, weight, epilogue, is_product, target.cpu).emit()


def _emit_winograd(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    # The small matrices are numbers in the code.
    x, weight = (next(buffer for buffer in anchor.reads if len(buffer.shape) == rank) for rank in (5, 4))
    problem, config = read_problem(anchor.numbers["problem"]), WinogradConfig(**anchor.numbers["config"])
    return WinogradConvolution(problem, config, x, weight, epilogue, target.cpu).emit()


def _emit_depthwise(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    del target
    x, weight = anchor.reads
    problem, config = read_problem(anchor.numbers["problem"]), DepthwiseConfig(**anchor.numbers["config"])
    return DepthwiseConvolution(problem, config, x, weight, epilogue).emit()


def _emit_batched(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    del target
    a, w = anchor.reads[0], anchor.reads[-1]  # one buffer where a tensor is multiplied by itself
    return BatchedProduct(DirectConfig(**anchor.numbers["config"]), a, w, epilogue).emit()


EMITTERS: Mapping[str, Emitter] = {
    DIRECT: _emit_direct,
    PRODUCT: _emit_direct,
    BATCHED: _emit_batched,
    DEPTHWISE: _emit_depthwise,
    WINOGRAD: _emit_winograd,
    GROUPED: emit_grouped,
    TRANSPOSED: emit_transposed,
    POOLING: emit_pooling,
    RESIZING: emit_resizing,
}
