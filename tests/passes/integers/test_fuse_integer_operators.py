"""`FuseIntegerOperators`: which groups become integer, that nothing else does, and the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.compress.quantize.scale import affine
from edgecompile.compress.quantize.weights import WeightForm, nearest
from edgecompile.decision import Decision
from edgecompile.integer.reference import run_reference
from edgecompile.passes.integers import FuseIntegerOperators

RNG = np.random.default_rng(5)
SHAPE = (1, 8, 6, 7)
Build = Callable[[relax.BlockBuilder, relax.Var], relax.Expr]


def through(builder: relax.BlockBuilder, x: relax.Expr, low: float, high: float, dtype: str = "int8") -> relax.Var:
    """x through quantize and dequantize."""
    grid = affine(low, high)
    zero_point = grid.zero_point + (128 if dtype == "uint8" else 0)
    parameters = [relax.const(grid.scale, "float32"), relax.const(zero_point, dtype)]
    integers = builder.emit(relax.op.quantize(x, *parameters, axis=0, out_dtype=dtype))
    return builder.emit(relax.op.dequantize(integers, *parameters, axis=0, out_dtype="float32"))


def weight(builder: relax.BlockBuilder, array: np.ndarray, axis: int, zero_point: int = 0) -> relax.Var:
    blocks = tuple(extent if index == axis else 1 for index, extent in enumerate(array.shape))
    found = nearest(array, WeightForm(blocks, -100, 100))
    scales, integers = found.grid.scales.reshape(-1), found.integers + np.int8(zero_point)
    zeros = np.full(scales.shape, zero_point, np.int8)
    constants = [relax.const(integers, "int8"), relax.const(scales, "float32"), relax.const(zeros, "int8")]
    return builder.emit(relax.op.dequantize(*constants, axis=axis, out_dtype="float32"))


def module_of(build: Build) -> tvm.IRModule:
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(SHAPE, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            output = builder.emit_output(build(builder, x))
        builder.emit_func_output(output)
    return builder.get()


def fused(module: tvm.IRModule) -> tuple[tvm.IRModule, list[Decision]]:
    decisions: list[Decision] = []
    result = FuseIntegerOperators()(module, decisions)
    relax.analysis.well_formed(result)
    return relax.transform.DeadCodeElimination(["main"])(result), decisions


def operators(module: tvm.IRModule) -> Counter[str]:
    bindings = [binding for block in module["main"].body.blocks for binding in block.bindings]
    return Counter(b.value.op.name.split(".", 1)[1] for b in bindings if isinstance(b.value, relax.Call))


def run(module: tvm.IRModule, x: np.ndarray) -> np.ndarray:
    machine = relax.VirtualMachine(relax.build(relax.transform.LegalizeOps()(module), "llvm"), tvm.cpu())
    return machine["main"](tvm.runtime.tensor(x)).numpy()


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def check(build: Build, steps: float = 1.01) -> Counter[str]:
    """The fused program equals its reference bit for bit, and float arithmetic with rounding up to `steps`.

    One step: a result that lies between two integers may fall to either side, by the last bits of float sums.
    """
    module = module_of(build)
    result, _ = fused(module)
    x = normal(*SHAPE)
    got = run(result, x)
    np.testing.assert_array_equal(got, run_reference(result, [x])[0])
    np.testing.assert_allclose(got, run(module, x), rtol=0, atol=steps * affine(-4, 4).scale)
    return operators(result)


def convolution(builder: relax.BlockBuilder, x: relax.Expr, *, bias: bool = True, zero_point: int = 0) -> relax.Var:
    kernel = weight(builder, normal(4, 8, 3, 3) / 8, 0, zero_point)
    result = builder.emit(relax.op.nn.conv2d(x, kernel, padding=(1, 1, 1, 1)))
    return builder.emit(relax.op.add(result, relax.const(normal(1, 4, 1, 1)))) if bias else result


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("activation", [None, relax.op.nn.relu, lambda x: relax.op.clip(x, -0.5, 1.5)])
def test_convolution(activation: Callable[[relax.Expr], relax.Expr] | None, dtype: str) -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        result = convolution(builder, through(builder, x, -3, 3, dtype))
        if activation is not None:
            result = builder.emit(activation(result))
        return through(builder, result, -4, 4, dtype)

    found = check(build)
    assert found["conv2d"] == found["requantize"] == 1
    assert not found["nn.conv2d"] and not found["clip"] and not found["nn.relu"]


@pytest.mark.parametrize(("most", "expected"), [(2**23 - 1, 1), (2**23, 0)])
def test_sums_that_floats_tell_apart(most: int, expected: int) -> None:
    """No sum of these weights and bytes, with the bias, is larger; float32 has 24 bits."""

    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        kernel = np.zeros((2, 8, 1, 1), np.int8)
        kernel[1, :3, 0, 0] = [100, -50, 7]
        parameters = [relax.const(1.0, "float32"), relax.const(-28, "int8")]  # 155 from the largest byte
        image = builder.emit(relax.op.quantize(x, *parameters, axis=0, out_dtype="int8"))
        real = builder.emit(relax.op.dequantize(image, *parameters, axis=0, out_dtype="float32"))
        scales = [relax.const(np.ones(2, np.float32)), relax.const(np.zeros(2, np.int8))]
        taps = builder.emit(relax.op.dequantize(relax.const(kernel), *scales, axis=0, out_dtype="float32"))
        sums = builder.emit(relax.op.nn.conv2d(real, taps))
        bias = np.array([0, 155 * 157 - most], np.float32).reshape(1, 2, 1, 1)
        return through(builder, builder.emit(relax.op.add(sums, relax.const(bias))), -4000, 4000)

    result, _ = fused(module_of(build))
    (call,) = [
        binding.value
        for block in result["main"].body.blocks
        for binding in block.bindings
        if isinstance(binding.value, relax.Call) and binding.value.op.name == "edgecompile.requantize"
    ]
    assert call.attrs["is_narrow"] == expected


def test_a_bound_for_each_channel() -> None:
    """As equalisation leaves a clip."""

    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        positive = builder.emit(relax.op.nn.relu(convolution(builder, through(builder, x, -3, 3))))
        bounds = np.array([0.1, 9.0, 1.0, 0.0], np.float32).reshape(1, 4, 1, 1)
        return through(builder, builder.emit(relax.op.minimum(positive, relax.const(bounds))), -4, 4)

    found = check(build)
    assert found["conv2d"] == found["requantize"] == found["minimum"] == 1
    assert not found["nn.conv2d"] and not found["nn.relu"]


def test_a_bound_before_another_stays_float() -> None:
    """A lower bound that holds after the channels' bounds is not one of the integers before them."""

    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        result = convolution(builder, through(builder, x, -3, 3))
        bounds = np.array([0.1, 9.0, 1.0, 0.0], np.float32).reshape(1, 4, 1, 1)
        bounded = builder.emit(relax.op.minimum(result, relax.const(bounds)))
        return through(builder, builder.emit(relax.op.clip(bounded, 0.5, 3.0)), -4, 4)

    result, decisions = fused(module_of(build))
    assert operators(result)["minimum"] == operators(result)["clip"] == 1
    assert "quantizes the float result of clip" in [decision.reason for decision in decisions]


def test_weight_with_a_zero_point() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        result = convolution(builder, through(builder, x, -3, 3), bias=False, zero_point=-20)
        return through(builder, result, -4, 4)

    assert check(build)["conv2d"] == 1


def test_float_result_of_a_product() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        return convolution(builder, through(builder, x, -3, 3))

    assert check(build, 0.01)["conv2d"] == 1


def test_a_result_that_something_else_reads_as_float_stays_float() -> None:
    """The sums are integer either way; what is quantized is their float form."""

    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        result = convolution(builder, through(builder, x, -3, 3))
        return builder.emit(relax.op.multiply(through(builder, result, -4, 4), builder.emit(relax.op.exp(result))))

    result, decisions = fused(module_of(build))
    assert operators(result)["quantize"] == 2
    assert [d.reason for d in decisions if d.subject.startswith("lv")][-1] == "quantizes the float result of add"


def test_residual_sum_of_two_scales() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        a, b = through(builder, x, -3, 3), through(builder, x, -1, 2)
        return through(builder, builder.emit(relax.op.nn.relu(builder.emit(relax.op.add(a, b)))), -4, 4)

    found = check(build)
    assert found == {"quantize": 2, "add": 1, "dequantize": 1}


def test_movements_pooling_and_tables() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        pooled = builder.emit(relax.op.nn.max_pool2d(through(builder, x, -3, 3), (2, 2), (2, 2)))
        gate = through(builder, builder.emit(relax.op.sigmoid(through(builder, pooled, -3, 3))), 0, 1)
        mean = through(builder, builder.emit(relax.op.mean(gate, [2, 3], keepdims=True)), 0, 1)
        flat = builder.emit(relax.op.reshape(mean, (1, 8)))
        return builder.emit(relax.op.matmul(flat, weight(builder, normal(8, 5), 1)))

    found = check(build, 3)
    assert found["nn.max_pool2d"] == found["lookup"] == found["sum"] == found["matmul"] == found["requantize"] == 1
    assert not found["sigmoid"] and not found["mean"] and found["quantize"] == 1


def test_concat_of_two_scales() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        parts = [through(builder, x, -3, 3), through(builder, x, -1, 1)]
        return through(builder, builder.emit(relax.op.concat(parts, 1)), -4, 4)

    found = check(build)
    assert found["concat"] == 1 and found["requantize"] == 2


def test_nothing_to_do() -> None:
    module = module_of(lambda builder, x: builder.emit(relax.op.nn.relu(x)))
    assert FuseIntegerOperators()(module, []) is module


def test_scales_known_at_run_time_only_stay_float() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        scale = builder.emit(relax.op.max(relax.op.abs(x)))
        zero = relax.const(0, "int8")
        integers = builder.emit(relax.op.quantize(x, scale, zero, axis=0, out_dtype="int8"))
        return builder.emit(relax.op.dequantize(integers, scale, zero, axis=0, out_dtype="float32"))

    result, _ = fused(module_of(build))
    assert operators(result)["quantize"] == operators(result)["dequantize"] == 1
