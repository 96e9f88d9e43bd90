"""What CPUs offer to the planner of layouts, and back from its annotations to loops."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from edgecompile.attention import Attention
from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation, Preference
from edgecompile.pooling import Pooling
from edgecompile.resizing import Resizing
from edgecompile.storage.stored_weight import StoredWeight
from edgecompile.target import CpuFacts, Target
from edgecompile.transposed_convolution import TransposedConvolution

from schedules.cpu.attention.config import AttentionConfig, separate_cycles
from schedules.cpu.attention.formula import attend
from schedules.cpu.attention.template import AttentionLoops
from schedules.cpu.batched_product import BatchedProduct, choose_tile, fits_stack, multiply_batches
from schedules.cpu.depthwise_convolution import (
    DepthwiseConfig,
    DepthwiseConvolution,
    convolve_depthwise,
    pack_depthwise,
)
from schedules.cpu.direct.config import FLOAT_BYTES, DirectConfig, product_block
from schedules.cpu.direct.convolution import DirectConvolution
from schedules.cpu.direct.formula import convolve, multiply, pack_weight
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.grouped.convolution import GROUPED, emit_grouped, grouped_ways
from schedules.cpu.integers.ways import (
    INTEGER,
    INTEGER_BATCHED,
    INTEGER_DEPTHWISE,
    INTEGER_DEPTHWISE_PAIRS,
    INTEGER_PRODUCT,
    emit_integer_batched,
    emit_integer_depthwise,
    emit_integer_pairs,
    emit_integers,
    integer_batched_ways,
    integer_block,
    integer_ways,
)
from schedules.cpu.integers.winograd_ways import INTEGER_WINOGRAD, emit_integer_winograd, integer_winograd_ways
from schedules.cpu.pooling import POOLING, emit_pooling, pooling_ways
from schedules.cpu.problem_numbers import read_problem
from schedules.cpu.resizing import RESIZING, emit_resizing, resizing_ways
from schedules.cpu.stored.product import STORED_PRODUCT, emit_stored, stored_ways
from schedules.cpu.template import Anchor, Emitter, attributes
from schedules.cpu.transposed.convolution import TRANSPOSED, emit_transposed, transposed_ways
from schedules.cpu.variants import depthwise_variants, direct_variants, product_tiles, winograd_variants
from schedules.cpu.winograd.config import WinogradConfig, fits
from schedules.cpu.winograd.convolution import WinogradConvolution
from schedules.cpu.winograd.error import LIMIT, error_ratio
from schedules.cpu.winograd.formula import convolve_winograd, pack_winograd, pack_winograd_at_load
from schedules.cpu.winograd.matrices import POINTS, weight_growth

if TYPE_CHECKING:
    from tvm import te, tirx

DIRECT, DEPTHWISE, WINOGRAD = "direct convolution", "depthwise convolution", "Winograd convolution"
PRODUCT, BATCHED, ATTENTION = "packed product", "batched product", "attention"

# Of `LayoutConversion` per float, on a Zen 5 server with vectors of 32 and of 64 bytes: 0.4 to 0.7 within the L1 and L2
# caches, 0.9 to 1.2 beyond them. Blocks that do not divide into vectors of four take 2 to 5; they are rare.
CONVERSION_CYCLES = 1.0
# Of `RegisterTile` and `LoopNest` per multiply-add there: 0.04 to 0.6 where the sizes are large and divide, 0.6 to 0.8
# for a vector times a matrix, 2 to 6 for few channels. Taken from the upper end: a template is the safer choice.
PLAIN_CYCLES = 2.0

Config = TypeVar("Config", DirectConfig, DepthwiseConfig, WinogradConfig)


@dataclass(frozen=True)
class CpuImplementations:
    """The templates of this folder, for a CPU of these facts.

    Attributes:
        prefer: "size" refuses ways whose constants are larger than the layer's weight.
        variants: offer each template with other numbers than its own choice too, for measuring.
        error_limit: of one layer, as a multiple of a direct convolution's; see `winograd.error`.
    """

    facts: CpuFacts
    variants: bool = False
    prefer: Preference = "speed"
    error_limit: float = LIMIT

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
                return self._depthwise(problem, in_block)
            return grouped_ways(problem, in_block, out_block, self.facts)
        direct = self._direct(problem, in_block or 1, out_block, None)
        if in_block is None or not fits(problem, in_block, out_block, self.facts):
            return direct
        refusals = {outputs: self._why_not_winograd(problem, outputs) for outputs in POINTS}
        allowed = [outputs for outputs, reason in refusals.items() if not reason]
        note = "; ".join(f"F({outputs},3) refused: {reason}" for outputs, reason in refusals.items() if reason)
        ways = (*direct, *(way for outputs in allowed for way in self._winograd(problem, outputs)))
        return tuple(dataclasses.replace(way, note=note) for way in ways)

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
        return self._direct(problem, product_block(problem.in_channels), problem.out_channels, tuple(rows))

    def stored_products(
        self, rows: Sequence[int], problem: Convolution, weight: StoredWeight
    ) -> Sequence[Implementation]:
        """Codes decoded in registers, for few rows."""
        return stored_ways(rows, problem, weight, self.facts)

    def integer_block(self, channels: int) -> int:
        """Sixteen, or as many as a matrix instruction takes, where the channels divide by it; otherwise all of them."""
        return integer_block(channels, self.facts)

    def integer_convolutions(
        self,
        problem: Convolution,
        zero_point: int,
        in_block: int,
        lowest_weight: int,
        weight_sum: int | None = None,
    ) -> Sequence[Implementation]:
        """The template with the fastest instruction that is exact for weights from `lowest_weight` to its negative;
        then Winograd's transforms where their sums are.

        Args:
            zero_point: of x.
            weight_sum: the largest sum of |w| of an output channel; None where it may be anything.
            in_block: channels side by side in x, `[N, ceil(C / b), H, W, b]` int8; those beyond C may hold anything.
                The result is int32 in blocks of `integer_block(problem.out_channels)`.
        """
        out_block = self.integer_block(problem.out_channels)
        direct = integer_ways(problem, zero_point, in_block, out_block, None, lowest_weight, self.facts)
        if problem.groups != 1:
            return direct
        taps = problem.in_channels * problem.kernel[0] * problem.kernel[1]
        most = taps * max(-lowest_weight, 127) if weight_sum is None else weight_sum
        winograd, note = integer_winograd_ways(problem, zero_point, in_block, out_block, most, self.facts)
        if winograd and self.prefer == "size":
            note, winograd = "integer Winograd refused: its weights grow in memory at load, and size is preferred", ()
        return tuple(dataclasses.replace(way, note=note) for way in (*direct, *winograd))

    def integer_products(
        self, rows: Sequence[int], problem: Convolution, zero_point: int, lowest_weight: int
    ) -> Sequence[Implementation]:
        """The same template; the rows of x, `[*rows, C]` int8, are its pixels."""
        channels, columns = problem.in_channels, problem.out_channels
        return integer_ways(problem, zero_point, channels, columns, tuple(rows), lowest_weight, self.facts)

    def integer_batched_products(
        self,
        rows: int,
        inner: int,
        columns: int,
        zero_points: tuple[int, int],
        axes: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> Sequence[Implementation]:
        """A packed panel per thread; none where it would be too large."""
        return integer_batched_ways(rows, inner, columns, zero_points, axes, self.facts)

    def batched_products(self, rows: int, inner: int, columns: int) -> Sequence[Implementation]:
        """A packed panel per thread; none where it would be too large."""
        chosen = choose_tile(rows, inner, columns, self.facts)
        if chosen is None:
            return ()
        problem = Convolution(1, inner, columns, 1, rows)
        others = [tile for tile in product_tiles(problem, self.facts) if fits_stack(inner, tile)]
        return self._ways(chosen, others, lambda config: self._batched_way(problem, config))

    def _ways(
        self, chosen: Config, others: Sequence[Config], way: Callable[[Config], Implementation]
    ) -> Sequence[Implementation]:
        """A template with its own choice, and behind it with other numbers where they are asked for."""
        found = [way(chosen)]
        if self.variants:
            found += [dataclasses.replace(way(config), is_variant=True) for config in others]
        return found

    def _batched_way(self, problem: Convolution, config: DirectConfig) -> Implementation:
        notes = attributes(BATCHED, {"config": dataclasses.asdict(config)})
        return Implementation(
            name=f"batch_matmul {config.rows}x{config.panel}",
            cycles=config.cycles(problem, self.facts),
            pack=lambda weight: [weight],
            compute=lambda a, w: multiply_batches(a, w, notes),
            key=way_key(BATCHED, config),
        )

    def conversion_cycles(self, elements: int) -> float:
        """In proportion to the elements."""
        return CONVERSION_CYCLES * elements

    def plain_cycles(self, operations: int) -> float:
        """In proportion to the operations."""
        return PLAIN_CYCLES * operations

    def attentions(self, problem: Attention) -> Sequence[Implementation]:
        """Blocks of queries whose scores stay in the cache; none where separate kernels are estimated as cheaper."""
        config = AttentionConfig.choose(problem, self.facts)
        if config is None or config.cycles(problem, self.facts) > separate_cycles(problem, self.facts):
            return ()
        notes = attributes(ATTENTION, {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)})
        return (
            Implementation(
                name=f"attention of {config.block_rows} rows, {config.scores.rows}x{config.scores.panel}"
                f" and {config.values.rows}x{config.values.panel}",
                cycles=config.cycles(problem, self.facts),
                pack=lambda weight: [weight],
                compute=lambda *arguments: attend(problem, notes, arguments),
            ),
        )

    def _depthwise(self, problem: Convolution, block: int) -> Sequence[Implementation]:
        chosen = DepthwiseConfig.choose(problem, block, self.facts)
        others = depthwise_variants(problem, block, self.facts)
        return self._ways(chosen, others, lambda config: self._depthwise_way(problem, block, config))

    def _depthwise_way(self, problem: Convolution, block: int, config: DepthwiseConfig) -> Implementation:
        notes = attributes(DEPTHWISE, {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)})
        return Implementation(
            name=f"depthwise {config.rows}x{config.lanes}",
            cycles=config.cycles(problem, self.facts),
            pack=lambda weight: [pack_depthwise(weight, block)],
            compute=lambda x, weight: convolve_depthwise(x, weight, problem, notes),
            key=way_key(DEPTHWISE, config),
        )

    def _why_not_winograd(self, problem: Convolution, outputs: int) -> str:
        """Why a transform is not offered for a layer; "" where it is."""
        error = error_ratio(problem.in_channels, outputs)
        if error > self.error_limit:
            return f"{error:.1f} times the error of a direct sum, at most {self.error_limit:g} are allowed"
        if self.prefer == "size":
            return f"its weights are {weight_growth(outputs):.1f} times as large, and size is preferred"
        return ""

    def _winograd(self, problem: Convolution, outputs: int) -> Sequence[Implementation]:
        chosen = WinogradConfig.choose(problem, outputs, self.facts)
        others = winograd_variants(problem, outputs, self.facts)
        return self._ways(chosen, others, lambda config: self._winograd_way(problem, config))

    def _winograd_way(self, problem: Convolution, config: WinogradConfig) -> Implementation:
        notes = attributes(WINOGRAD, {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)})
        return Implementation(
            name=f"conv2d_winograd F({config.outputs},3) {config.rows}x{config.panel}",
            cycles=config.cycles(problem, self.facts),
            pack=lambda weight: pack_winograd(weight, config),
            compute=lambda x, weight, b, a: convolve_winograd(x, weight, b, a, problem, config, notes),
            key=way_key(WINOGRAD, config),
            at_load=pack_winograd_at_load(config),
        )

    def _direct(
        self, problem: Convolution, in_block: int, out_block: int, rows: tuple[int, ...] | None
    ) -> Sequence[Implementation]:
        chosen = DirectConfig.choose(problem, in_block, self.facts)
        others = direct_variants(problem, in_block, self.facts)
        return self._ways(
            chosen, others, lambda config: self._direct_way(problem, in_block, out_block, rows is not None, config)
        )

    def _direct_way(
        self, problem: Convolution, in_block: int, out_block: int, is_product: bool, config: DirectConfig
    ) -> Implementation:
        template = PRODUCT if is_product else DIRECT
        numbers = {
            "problem": dataclasses.asdict(problem),
            "config": dataclasses.asdict(config),
            "is_product": is_product,
        }
        notes = attributes(template, numbers)

        def compute(x: te.Tensor, weight: te.Tensor) -> te.Tensor:
            if is_product:
                return multiply(x, weight, problem.out_channels, notes)
            return convolve(x, weight, problem, out_block, config.panel, notes)

        return Implementation(
            name=f"{'matmul' if is_product else 'conv2d'} {config.rows}x{config.panel}",
            cycles=config.cycles(problem, self.facts),
            pack=lambda weight: [pack_weight(weight, in_block, config)],
            compute=compute,
            key=way_key(template, config),
        )


def way_key(template: str, config: Config) -> str:
    """What a tuning record calls a template with these numbers."""
    return json.dumps({"template": template, "config": dataclasses.asdict(config)}, sort_keys=True)


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
    x, weight = anchor.reads
    problem, config = read_problem(anchor.numbers["problem"]), DepthwiseConfig(**anchor.numbers["config"])
    return DepthwiseConvolution(problem, config, x, weight, epilogue, target.cpu.num_cores).emit()


def _emit_batched(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    del target
    a, w = anchor.reads[0], anchor.reads[-1]  # one buffer where a tensor is multiplied by itself
    return BatchedProduct(DirectConfig(**anchor.numbers["config"]), a, w, epilogue).emit()


def _emit_attention(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    del target
    problem = Attention.from_numbers(anchor.numbers["problem"])
    config = AttentionConfig.from_numbers(anchor.numbers["config"])
    assert not epilogue.stages  # the kernel is opaque to fusion
    return AttentionLoops(problem, config, anchor.reads, epilogue.target).emit()


EMITTERS: Mapping[str, Emitter] = {
    DIRECT: _emit_direct,
    PRODUCT: _emit_direct,
    BATCHED: _emit_batched,
    ATTENTION: _emit_attention,
    DEPTHWISE: _emit_depthwise,
    INTEGER: emit_integers,
    INTEGER_PRODUCT: emit_integers,
    INTEGER_BATCHED: emit_integer_batched,
    INTEGER_DEPTHWISE: emit_integer_depthwise,
    INTEGER_WINOGRAD: emit_integer_winograd,
    INTEGER_DEPTHWISE_PAIRS: emit_integer_pairs,
    WINOGRAD: _emit_winograd,
    GROUPED: emit_grouped,
    TRANSPOSED: emit_transposed,
    POOLING: emit_pooling,
    RESIZING: emit_resizing,
    STORED_PRODUCT: emit_stored,
}
