"""One convolution or product of int8 with its usual epilogue, by the template and by NumPy in int64."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tvm
from tvm import te, tirx

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation
from edgecompile.target import Target
from schedules.cpu import CpuImplementations, Template
from schedules.cpu.implementations import EMITTERS
from targets.cpu.emulator import runs_natively
from targets.cpu.object_code import tvm_target
from tests.schedules.cpu.emulated_kernels import run_emulated
from tests.schedules.cpu.kernels import to_blocks

LOW, HIGH = -100, 120  # a clip that is not the type's own
LOWEST_WEIGHT = -127  # of symmetric quantization


def convolve(x: np.ndarray, weight: np.ndarray, zero_point: int, problem: Convolution) -> np.ndarray:
    """The convolution in int64: x `[N, C, H, W]`, weight `[K, C / groups, KH, KW]`; padding counts as zero."""
    top, left, bottom, right = problem.padding
    padded = np.pad(x.astype(np.int64) - zero_point, ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = problem.out_height, problem.out_width
    result = np.zeros((problem.batch, problem.out_channels, height, width), np.int64)
    inputs = np.split(padded, problem.groups, axis=1)
    weights = np.split(weight.astype(np.int64), problem.groups, axis=0)
    for i in range(problem.kernel[0]):
        for j in range(problem.kernel[1]):
            h, w = i * problem.dilations[0], j * problem.dilations[1]
            rows = slice(h, h + (height - 1) * problem.strides[0] + 1, problem.strides[0])
            columns = slice(w, w + (width - 1) * problem.strides[1] + 1, problem.strides[1])
            parts = [
                np.einsum("nchw,kc->nkhw", part[:, :, rows, columns], taps[:, :, i, j])
                for part, taps in zip(inputs, weights, strict=True)
            ]
            result += np.concatenate(parts, axis=1)
    assert np.abs(result).max() < 2**31
    return result


@dataclass(frozen=True)
class Requantization:
    """The usual epilogue: `clip(zp + round_half_away((acc + bias) * multiplier / 2^shift)) + residual / 2`, to int8."""

    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    zero_point: int

    @staticmethod
    def fitting(accumulators: np.ndarray, rng: np.random.Generator) -> Requantization:
        """One that spreads `[N, K, ...]` over the range of int8, a little beyond its ends."""
        channels = accumulators.shape[1]
        bias = rng.integers(-1000, 1000, channels).astype(np.int32)
        multiplier = rng.integers(2**14, 2**15, channels).astype(np.int32)
        peak = np.abs(accumulators).max()
        shift = np.full(channels, max(18, 15 + math.ceil(math.log2(max(peak, 1) / 200))), np.int32)
        shift[1::2] += 1
        return Requantization(bias, multiplier, shift, -7)

    def apply(self, accumulators: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """By NumPy, on `[N, K, H, W]` int64."""
        bias, multiplier, shift = (
            n.astype(np.int64).reshape(1, -1, 1, 1) for n in (self.bias, self.multiplier, self.shift)
        )
        total = accumulators + bias
        rounded = np.sign(total) * ((np.abs(total) * multiplier + (1 << (shift - 1))) >> shift)
        scaled = np.clip(rounded + self.zero_point, LOW, HIGH)
        return np.clip(scaled + (residual.astype(np.int64) >> 1), -128, 127).astype(np.int8)

    @property
    def parameters(self) -> list[np.ndarray]:
        """The kernel's constants, `[K]` int32: bias, multiplier, 2^(shift - 17) and shift - 16.

        TVM 0.27 takes `x >> (s - 16)` of an unknown s for -1 or 0, so both are made here.
        """
        return [self.bias, self.multiplier, np.left_shift(1, self.shift - 17, dtype=np.int32), self.shift - 16]

    def stages(self, result: te.Tensor) -> tuple[list[te.Tensor], te.Tensor]:
        """As te stages of 32-bit arithmetic, on blocks or on rows.

        Returns:
            The placeholders of `parameters` and of the residual, and the result.
        """
        is_blocked = len(result.shape) == 5
        shape = [1, result.shape[1], 1, 1, result.shape[4]] if is_blocked else [result.shape[-1]]
        names = ("bias", "multiplier", "half", "places")
        bias, multiplier, half, places = (te.placeholder(shape, "int32", name=name) for name in names)
        residual = te.placeholder(result.shape, "int8", name="residual")
        n = lambda value: tirx.const(value, "int32")  # noqa: E731

        def at(parameter: te.Tensor, indices: Sequence[tirx.Var]) -> tvm.ir.Expr:
            return parameter[0, indices[1], 0, 0, indices[4]] if is_blocked else parameter[indices[-1]]

        total = te.compute(result.shape, lambda *i: result[i] + at(bias, i), name="total")

        def scale(*i: tirx.Var) -> tvm.ir.Expr:
            """floor((acc * m + 2^(s-1) - (acc < 0)) / 2^s), which rounds half away from zero, by words of 16 bits."""
            a, m = total[i], at(multiplier, i)
            low = (a & n(0xFFFF)) * m + (a >> n(31))
            product = (a >> n(16)) * m + (low >> n(16))
            return ((product + at(half, i)) >> at(places, i)) + n(self.zero_point)

        scaled = te.compute(result.shape, scale, name="scaled")
        clipped = te.compute(result.shape, lambda *i: tirx.min(tirx.max(scaled[i], n(LOW)), n(HIGH)), name="clipped")

        def add(*i: tirx.Var) -> tvm.ir.Expr:
            added = clipped[i] + (residual[i].astype("int32") >> n(1))
            return tirx.min(tirx.max(added, n(-128)), n(127)).astype("int8")

        return [bias, multiplier, half, places, residual], te.compute(result.shape, add, name="added")


def factors(
    problem: Convolution, rng: np.random.Generator, lowest_weight: int = LOWEST_WEIGHT
) -> tuple[np.ndarray, np.ndarray]:
    """x of the whole range, and a weight from `lowest_weight` to its negative; some pixels and two output channels hold
    nothing but the ends, so that sums of fewer than 32 bits would overflow."""
    shape = (problem.batch, problem.in_channels, problem.height, problem.width)
    x = rng.integers(-128, 128, shape, dtype=np.int8)
    weight = rng.integers(
        lowest_weight, 1 - lowest_weight, (problem.out_channels, problem.group_channels, *problem.kernel), dtype=np.int8
    )
    extremes = rng.choice(np.array([-128, 127], np.int8), (1, 1, 1, problem.width))
    x[:, :, : problem.height // 2 + 1] = extremes
    weight[0] = -lowest_weight
    weight[-1] = lowest_weight
    return x, weight


def compile_kernel(sources: Sequence[te.Tensor], result: te.Tensor, target: Target) -> tvm.runtime.Executable:
    """The kernel by its template, which must take it, for this machine."""
    return tvm.compile(scheduled(sources, result, target), target=tvm_target(target))


def scheduled(sources: Sequence[te.Tensor], result: te.Tensor, target: Target) -> tvm.IRModule:
    """The kernel by its template, which must take it."""
    function = te.create_prim_func([*sources, result])
    function = function.with_attr("global_symbol", "main").with_attr("tirx.noalias", True)
    schedule = Template(EMITTERS).apply(function, target)
    assert schedule is not None
    return schedule.mod


def placeholders(arrays: Sequence[np.ndarray]) -> list[te.Tensor]:
    """Like the arrays."""
    return [
        te.placeholder([tirx.IntImm("int64", n) for n in array.shape], str(array.dtype), name=f"x{at}")
        for at, array in enumerate(arrays)
    ]


def integer_way(
    problem: Convolution,
    target: Target,
    zero_point: int,
    in_block: int,
    name: str = "",
    weight_sum: int | None = None,
    lowest_weight: int = LOWEST_WEIGHT,
) -> Implementation:
    """The first way that the target offers whose name begins so."""
    ways = CpuImplementations(target.cpu).integer_convolutions(problem, zero_point, in_block, lowest_weight, weight_sum)
    return next(way for way in ways if way.name.startswith(name))


def check(
    problem: Convolution,
    target: Target,
    zero_point: int,
    in_block: int | None = None,
    seed: int = 0,
    name: str = "",
    arrays: tuple[np.ndarray, np.ndarray] | None = None,
    alone: bool = True,
    lowest_weight: int = LOWEST_WEIGHT,
) -> None:
    """The template's kernel, fused with a requantization and a residual, and alone, has the bits of the reference.

    Args:
        name: what the way's name begins with.
        arrays: x and weight; those of `factors` where none are given.
        alone: False for the fused kernel only, in half of the time.
    """
    rng = np.random.default_rng(seed)
    x, weight = arrays or factors(problem, rng, lowest_weight)
    offered = CpuImplementations(target.cpu)
    block = in_block or offered.integer_block(problem.in_channels)
    out_block = offered.integer_block(problem.out_channels)
    expected = convolve(x, weight, zero_point, problem)
    epilogue = Requantization.fitting(expected, rng)
    residual = rng.integers(-128, 128, expected.shape, dtype=np.int8)
    beyond = -problem.in_channels % block
    filled = np.pad(x, ((0, 0), (0, beyond), (0, 0), (0, 0)), constant_values=77)  # must meet weights of zero
    weight_sum = int(np.abs(weight.astype(np.int64)).sum(axis=(1, 2, 3)).max())
    way = integer_way(problem, target, zero_point, block, name, weight_sum, lowest_weight)
    arguments = [to_blocks(filled, block), *way.pack(weight)]
    parameters = [to_blocks(array.reshape(1, -1, 1, 1), out_block) for array in epilogue.parameters]
    parameters.append(to_blocks(residual, out_block))
    sources = placeholders(arguments)
    result = way.compute(*sources)
    if alone:
        got = run(sources, result, arguments, target, np.int32)
        np.testing.assert_array_equal(from_blocks(got), expected)
    more, final = epilogue.stages(result)
    got = run([*sources, *more], final, [*arguments, *parameters], target, np.int8)
    np.testing.assert_array_equal(from_blocks(got), epilogue.apply(expected, residual))


def check_product(rows: tuple[int, ...], inner: int, columns: int, target: Target, zero_point: int) -> None:
    """The same for `(x - zero_point) @ w`, x being `[*rows, inner]`."""
    rng = np.random.default_rng(0)
    count = math.prod(rows)
    problem = Convolution(1, inner, columns, 1, count)
    x, weight = factors(problem, rng)
    expected = convolve(x, weight, zero_point, problem)
    epilogue = Requantization.fitting(expected, rng)
    residual = rng.integers(-128, 128, expected.shape, dtype=np.int8)
    (way,) = CpuImplementations(target.cpu).integer_products(rows, problem, zero_point, LOWEST_WEIGHT)

    def as_rows(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array[0, :, 0].T).reshape(*rows, -1)

    arrays = [as_rows(x), *way.pack(weight)]
    sources = placeholders(arrays)
    result = way.compute(*sources)
    got = run(sources, result, arrays, target, np.int32)
    np.testing.assert_array_equal(got, as_rows(expected))
    more, final = epilogue.stages(result)
    parameters = [*epilogue.parameters, as_rows(residual)]
    got = run([*sources, *more], final, [*arrays, *parameters], target, np.int8)
    np.testing.assert_array_equal(got, as_rows(epilogue.apply(expected, residual)))


def from_blocks(array: np.ndarray) -> np.ndarray:
    """`[N, C / b, H, W, b]` -> `[N, C, H, W]`."""
    n, blocks, height, width, block = array.shape
    return array.transpose(0, 1, 4, 2, 3).reshape(n, blocks * block, height, width)


def run(
    sources: Sequence[te.Tensor], result: te.Tensor, arrays: Sequence[np.ndarray], target: Target, dtype: type
) -> np.ndarray:
    """The result of the kernel that computes `result` of the arrays, on this machine or in an emulator."""
    out = np.full([int(extent) for extent in result.shape], 99, dtype)
    if not runs_natively(target):
        with tempfile.TemporaryDirectory() as folder:
            return run_emulated(scheduled(sources, result, target)["main"], arrays, out, target, Path(folder))
    kernel = compile_kernel(sources, result, target)
    tensors = [tvm.runtime.tensor(array) for array in (*arrays, out)]
    kernel["main"](*tensors)
    return tensors[-1].numpy()
