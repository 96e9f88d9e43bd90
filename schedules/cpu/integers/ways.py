"""What CPUs offer for convolutions and products of int8, and back from its annotations to loops."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation
from edgecompile.integer import formulas
from edgecompile.target import CpuFacts, Target

from schedules.arm_cpu import dot_products as arm_cpu
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.integers.batched_config import BatchedNumbers, batched_cycles, choose_batched
from schedules.cpu.integers.batched_product import IntegerBatchedProduct
from schedules.cpu.integers.config import IntegerConfig
from schedules.cpu.integers.convolution import IntegerConvolution
from schedules.cpu.integers.depthwise import IntegerDepthwise
from schedules.cpu.integers.depthwise_config import IntegerDepthwiseConfig
from schedules.cpu.integers.depthwise_formula import convolve_integer_depthwise, pack_integer_depthwise
from schedules.cpu.integers.depthwise_pairs import IntegerDepthwisePairs, PairsConfig, convolve_pairs, pack_pairs
from schedules.cpu.integers.folded_columns import fold_problem, fold_weight, folded_columns
from schedules.cpu.integers.formula import (
    convolve_integers,
    multiply_integers,
    pack_corrections,
    pack_integer_weight,
)
from schedules.cpu.integers.groups import merge_groups, merge_weight
from schedules.cpu.integers.operands import IntegerOperands
from schedules.cpu.problem_numbers import read_problem
from schedules.cpu.template import Anchor, attributes
from schedules.dot_product import DotProduct
from schedules.x86 import dot_products as x86

if TYPE_CHECKING:
    from tvm import te, tirx

INTEGER, INTEGER_PRODUCT = "integer convolution", "integer product"
INTEGER_BATCHED = "integer batched product"
INTEGER_DEPTHWISE = "integer depthwise convolution"
INTEGER_DEPTHWISE_PAIRS = "integer depthwise convolution by pairs"
LOWEST = -128  # of int8
INTEGER_BLOCK = 16  # channels: one load of x brings all of them, on every CPU; as many sums as AVX-512 has in a vector


def integer_block(channels: int, facts: CpuFacts) -> int:
    """How many channels lie side by side in an int8 tensor of `channels`."""
    dots = dot_products(facts)
    block = dots[0].group if dots and dots[0].pixels > 1 else INTEGER_BLOCK
    return block if channels % block == 0 else channels


def dot_products(facts: CpuFacts) -> Sequence[DotProduct]:
    """The exact instructions of a CPU, the fastest first."""
    return [*x86.dot_products(facts), *arm_cpu.dot_products(facts)]


def integer_ways(
    problem: Convolution,
    zero_point: int,
    in_block: int,
    out_block: int,
    rows: tuple[int, ...] | None,
    lowest_weight: int,
    facts: CpuFacts,
) -> Sequence[Implementation]:
    """The template with the fastest instruction; none where a CPU has none of its instructions.

    Args:
        zero_point: of x.
        in_block: channels side by side in x, of which those beyond C meet weights of zero.
        out_block: channels side by side in the result.
        rows: of a product of matrices, x being `[*rows, C]`; None for a convolution.
        lowest_weight: what the weights are at least; its negative is what they are at most.
    """
    if problem.is_depthwise and rows is None and in_block == out_block and problem.in_channels % in_block == 0:
        return (_depthwise_way(problem, zero_point, in_block, lowest_weight, facts),)
    pixels = problem.out_height * problem.out_width
    offered = [
        dot
        for dot in dot_products(facts)
        if dot.lowest_weight <= lowest_weight
        and (dot.pixels == 1 or (pixels > 1 and in_block * _fold(problem, in_block, rows, dot) >= dot.group))
    ]
    if not offered:
        return ()
    if problem.groups > 1:
        problem = merge_groups(problem, in_block, out_block)
    fold = _fold(problem, in_block, rows, offered[0])
    return (_way(problem, zero_point, in_block, out_block, rows is not None, fold, offered[0], facts),)


def _fold(problem: Convolution, in_block: int, rows: tuple[int, ...] | None, dot: DotProduct) -> int:
    """Columns of x that a step takes together; see `integers.folded_columns`."""
    return folded_columns(problem, in_block, dot.group) if dot.pixels > 1 and rows is None else 1


def _way(
    problem: Convolution,
    zero_point: int,
    in_block: int,
    out_block: int,
    is_product: bool,
    fold: int,
    dot: DotProduct,
    facts: CpuFacts,
) -> Implementation:
    given, block = problem, in_block
    if fold > 1:
        problem, in_block = fold_problem(given, block, fold), fold * block
    config = IntegerConfig.choose(problem, in_block, dot, facts)
    template = INTEGER_PRODUCT if is_product else INTEGER
    numbers = {
        "problem": dataclasses.asdict(problem),
        "config": dataclasses.asdict(config),
        "is_product": is_product,
        "fold": fold,
    }
    notes = attributes(template, numbers)

    def pack(weight: np.ndarray) -> Sequence[np.ndarray]:
        assert weight.dtype == np.int8 and not _exceeds(weight, dot)
        weight = fold_weight(weight, given, block, fold) if fold > 1 else merge_weight(weight, problem)
        return [
            pack_integer_weight(weight, in_block, config, dot),
            pack_corrections(weight, problem, zero_point, config, dot),
        ]

    def compute(x: te.Tensor, weight: te.Tensor, start: te.Tensor) -> te.Tensor:
        if is_product:
            return multiply_integers(x, weight, start, problem.out_channels, dot, notes)
        return convolve_integers(x, weight, start, problem, out_block, dot, notes, fold)

    return Implementation(
        name=f"{'matmul' if is_product else 'conv2d'}_int8 {dot.name} {config.rows}x{config.panel}",
        cycles=config.cycles(problem, dot, facts),
        pack=pack,
        compute=compute,
        key=json.dumps({"template": template, "config": dataclasses.asdict(config)}, sort_keys=True),
    )


def integer_batched_ways(
    rows: int,
    inner: int,
    columns: int,
    zero_points: tuple[int, int],
    axes: tuple[tuple[int, ...], tuple[int, ...]],
    facts: CpuFacts,
) -> Sequence[Implementation]:
    """The template with the fastest instruction that takes any bytes; none where a panel would be too large.

    Arguments as of `Implementations.integer_batched_products`.
    """
    offered = [
        dot
        for dot in dot_products(facts)
        if dot.lowest_weight == LOWEST and (dot.pixels == 1 or (inner >= dot.group and rows > 1))
    ]
    if not offered or (axes[0] and axes[0][-1] != len(axes[0]) - 1):
        return ()
    dot = offered[0]
    config = choose_batched(rows, inner, columns, zero_points[1], dot, facts)
    if config is None:
        return ()
    numbers = BatchedNumbers(*zero_points, *axes)
    notes = attributes(INTEGER_BATCHED, {"config": dataclasses.asdict(config), "numbers": dataclasses.asdict(numbers)})
    return (
        Implementation(
            name=f"batch_matmul_int8 {dot.name} {config.rows}x{config.panel}",
            cycles=batched_cycles((rows, inner, columns), config, dot, facts),
            pack=lambda weight: [weight],
            compute=lambda a, w: formulas.multiply(a, w, *zero_points, *axes, notes=notes),
            key=json.dumps({"template": INTEGER_BATCHED, "config": dataclasses.asdict(config)}, sort_keys=True),
        ),
    )


def emit_integer_batched(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    """The loops for blocks that `integer_batched_ways` annotated."""
    a, w = anchor.reads[0], anchor.reads[-1]  # one buffer where a tensor is multiplied by itself
    config, found = IntegerConfig(**anchor.numbers["config"]), anchor.numbers["numbers"]
    numbers = BatchedNumbers(
        found["zero_point"], found["other_zero_point"], tuple(found["axes"]), tuple(found["other_axes"])
    )
    dot = next(dot for dot in dot_products(target.cpu) if dot.name == config.dot)
    return IntegerBatchedProduct(config, dot, numbers, a, w, epilogue, target.cpu).emit()


def _exceeds(weight: np.ndarray, dot: DotProduct) -> bool:
    """True where an instruction is not exact for some of the weights."""
    return bool(weight.min() < dot.lowest_weight or weight.max() > min(-dot.lowest_weight, 127))


def _pairs_way(problem: Convolution, zero_point: int, config: PairsConfig, facts: CpuFacts) -> Implementation:
    numbers = {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)}
    notes = attributes(INTEGER_DEPTHWISE_PAIRS, numbers)
    return Implementation(
        name=f"depthwise_int8 {config.rows}x8 by pairs",
        cycles=config.cycles(problem, facts),
        pack=lambda weight: pack_pairs(weight, problem, zero_point),
        compute=lambda x, weight, start: convolve_pairs(x, weight, start, problem, notes),
        key=json.dumps({"template": INTEGER_DEPTHWISE_PAIRS, "config": dataclasses.asdict(config)}, sort_keys=True),
    )


def _depthwise_way(
    problem: Convolution, zero_point: int, block: int, lowest_weight: int, facts: CpuFacts
) -> Implementation:
    pairs = PairsConfig.choose(problem, block, facts)
    if pairs is not None:
        return _pairs_way(problem, zero_point, pairs, facts)
    config = IntegerDepthwiseConfig.choose(problem, block, facts, lowest_weight)
    numbers = {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)}
    notes = attributes(INTEGER_DEPTHWISE, numbers)
    return Implementation(
        name=f"depthwise_int8 {config.rows}x{config.lanes}" + (" by quads" if config.has_quads else ""),
        cycles=config.cycles(problem, facts),
        pack=lambda weight: pack_integer_depthwise(weight, problem, zero_point, block, config),
        compute=lambda x, weight, start: convolve_integer_depthwise(x, weight, start, problem, config, notes),
        key=json.dumps({"template": INTEGER_DEPTHWISE, "config": dataclasses.asdict(config)}, sort_keys=True),
    )


def emit_integer_depthwise(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    """The loops for blocks that `_depthwise_way` annotated."""
    x, weight, start = anchor.reads
    problem, config = read_problem(anchor.numbers["problem"]), IntegerDepthwiseConfig(**anchor.numbers["config"])
    return IntegerDepthwise(problem, config, x, weight, start, epilogue, target.cpu).emit()


def emit_integer_pairs(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    """The loops for blocks that `_pairs_way` annotated."""
    x, weight, start = anchor.reads
    problem, config = read_problem(anchor.numbers["problem"]), PairsConfig(**anchor.numbers["config"])
    return IntegerDepthwisePairs(problem, config, x, weight, start, epilogue, target.cpu).emit()


def emit_integers(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    """The loops for blocks that a way of this template annotated."""
    x, weight, start = anchor.reads
    problem, config = read_problem(anchor.numbers["problem"]), IntegerConfig(**anchor.numbers["config"])
    dot = next(dot for dot in dot_products(target.cpu) if dot.name == config.dot)
    is_product = bool(anchor.numbers["is_product"])
    fold = int(anchor.numbers["fold"])
    operands = IntegerOperands(problem, config, dot, x, weight, is_product, target.cpu, fold)
    return IntegerConvolution(operands, start, epilogue).emit()
