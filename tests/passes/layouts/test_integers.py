"""Integer operators through the layout planner and their templates: the same bits as the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import relax

import edgecompile as ec
from edgecompile.frontend.model import Model, TensorSpec
from edgecompile.integer import FixedPoint, operators
from edgecompile.integer.reference import run_reference
from edgecompile.target import find_target
from tests.relax_models import constant, make_model

RNG = np.random.default_rng(11)


def int8(*shape: int) -> np.ndarray:
    values = RNG.integers(-128, 128, shape).astype(np.int8)
    values.reshape(-1)[:2] = (-128, 127)
    return values


def convolution(
    builder: relax.BlockBuilder,
    x: relax.Expr,
    weight: np.ndarray,
    *,
    groups: int = 1,
    strides: tuple[int, int] = (1, 1),
) -> relax.Var:
    """A convolution of 'same' padding, requantized per channel."""
    channels, height, width = weight.shape[0], weight.shape[2] // 2, weight.shape[3] // 2
    sums = operators.conv2d(
        x,
        constant(weight),
        constant(RNG.integers(-(2**15), 2**15, channels).astype(np.int32)),
        strides=strides,
        padding=(height, width, height, width),
        dilation=(1, 1),
        groups=groups,
        zero_point=-17,
    )
    size = float(np.sqrt(weight[0].size)) * 74 * 74
    factor = FixedPoint.of(np.geomspace(30, 120, channels) / size)
    numbers = {"axis": 1, "input_zero_point": 0, "zero_point": -5, "low": -100}
    return builder.emit(operators.requantize(builder.emit(sums), factor, **numbers))


def check(model: Model, folder: Path, target: str = "host") -> list[str]:
    """Compile, compare with the reference, and answer the kernels."""
    artifact = ec.compile(model, target=target, out=folder / "net")
    (spec,) = model.inputs
    x = int8(*(int(extent) for extent in spec.shape))
    np.testing.assert_array_equal(artifact.run(x)[0], run_reference(model.module, [x])[0])
    return [step.kernel for step in artifact.report.steps]


@pytest.mark.parametrize(
    ("channels", "weight", "groups", "strides"),
    [
        (16, int8(32, 16, 3, 3), 1, (1, 1)),
        (3, int8(16, 3, 7, 7), 1, (2, 2)),  # padded to one dword of channels
        (24, int8(20, 24, 1, 1), 1, (1, 1)),
        (6, int8(10, 6, 3, 3), 1, (1, 1)),
        (24, int8(24, 1, 3, 3), 24, (2, 2)),
        (8, int8(8, 2, 3, 3), 4, (1, 1)),  # grouped: loops without a template
        (16, int8(16, 16, 3, 3).astype(np.int16) * 2, 1, (1, 1)),  # a weight with zero points of its own
    ],
    ids=("3x3", "stem", "odd block", "not by four", "depthwise", "grouped", "int16"),
)
def test_convolution(channels: int, weight: np.ndarray, groups: int, strides: tuple[int, int], tmp_path: Path) -> None:
    x = TensorSpec("x", (1, channels, 11, 13), "int8")
    height, width = (11 + strides[0] - 1) // strides[0], (13 + strides[1] - 1) // strides[1]

    def body(builder: relax.BlockBuilder, value: relax.Var) -> relax.Expr:
        return convolution(builder, value, weight, groups=groups, strides=strides)

    check(make_model([x], body, [TensorSpec("y", (1, weight.shape[0], height, width), "int8")]), tmp_path)


def test_a_residual_block_is_two_kernels_between_conversions(tmp_path: Path) -> None:
    """Requantization, the residual sum and the bounds are part of the kernels that make their operands."""
    x = TensorSpec("x", (1, 32, 9, 8), "int8")

    def body(builder: relax.BlockBuilder, value: relax.Var) -> relax.Expr:
        first = convolution(builder, value, int8(32, 32, 3, 3))
        second = convolution(builder, first, int8(32, 32, 3, 3))
        numbers = {"multipliers": (20001, 30001), "shift": 15, "zero_points": (-5, -17), "zero_point": 3, "low": 3}
        return builder.emit(operators.add(second, value, **numbers))

    kernels = check(make_model([x], body, [TensorSpec("y", (1, 32, 9, 8), "int8")]), tmp_path)
    assert len(kernels) == 4, kernels
    assert sum("requantize" in kernel for kernel in kernels) == 2
    assert sum("add" in kernel for kernel in kernels) == 1


@pytest.mark.skipif("avx2" not in find_target("host").cpu.features, reason="needs AVX2")
def test_winograd_where_words_are_multiplied(tmp_path: Path) -> None:
    """Large weights leave F(2,3), whose sums have more room than those of F(4,3)."""
    x = TensorSpec("x", (1, 256, 12, 9), "int8")
    small, large = RNG.integers(-40, 41, (256, 256, 3, 3)).astype(np.int8), int8(16, 256, 3, 3)
    large[0] = 127

    def body(builder: relax.BlockBuilder, value: relax.Var) -> relax.Expr:
        return convolution(builder, convolution(builder, value, small), large)

    model = make_model([x], body, [TensorSpec("y", (1, 16, 12, 9), "int8")])
    kernels = check(model, tmp_path, "host,vector_bytes=32,vector_registers=16,features=avx2:fma:sse4_1")
    assert sum("conv2d_int8_winograd" in kernel for kernel in kernels) == 2, kernels
    choices = [decision.reason for decision in ec.open(tmp_path / "net").report.decisions]
    assert any("F(4,3) sums below" in reason for reason in choices), choices


def winograd_network(batch: int | str = 1) -> Model:
    """Two convolutions of 64 channels and a residual sum, which a core without byte products does by F(4,3)."""

    def body(builder: relax.BlockBuilder, value: relax.Var, *others: relax.Var) -> relax.Expr | list[relax.Expr]:
        weights = [RNG.integers(-40, 41, (64, 64, 3, 3)).astype(np.int8) for _ in range(2)]
        result = convolution(builder, convolution(builder, value, weights[0]), weights[1])
        numbers = {"multipliers": (20001, 30001), "shift": 15, "zero_points": (-5, -17), "zero_point": 3, "low": 3}
        result = builder.emit(operators.add(result, value, **numbers))
        return [result, *others]

    specs = [TensorSpec("x", (1, 64, 12, 12), "int8")]
    if isinstance(batch, str):
        specs.append(TensorSpec("other", (batch, 3), "float32"))
    return make_model(specs, body, [TensorSpec(f"y{at}", spec.shape, spec.dtype) for at, spec in enumerate(specs)])


WORDS = "host,vector_bytes=32,vector_registers=16,features=avx2:fma:sse4_1"
NEEDS_AVX2 = pytest.mark.skipif("avx2" not in find_target("host").cpu.features, reason="needs AVX2")


@pytest.mark.parametrize(
    "target", [pytest.param(WORDS, marks=NEEDS_AVX2), pytest.param("rpi4", marks=pytest.mark.board)]
)
def test_winograd_transforms_its_weights_at_load(target: str, tmp_path: Path) -> None:
    model = winograd_network()
    artifact = ec.compile(model, target=target, out=tmp_path / "net")
    with ec.open(tmp_path / "net", emulate=target != WORDS) as network:
        x = int8(1, 64, 12, 12)
        np.testing.assert_array_equal(network.run(x)[0], run_reference(model.module, [x])[0])
    int8_bytes = 2 * 64 * 64 * 9
    assert int8_bytes < artifact.manifest.weight_bytes < int8_bytes + 4096  # the small matrices, and biases
    assert artifact.manifest.decoded_bytes == 2 * 64 * 64 * 36 * 2
    kernels = [step.kernel for step in artifact.report.steps]
    assert sum("conv2d_int8_winograd" in kernel for kernel in kernels) == 2 and not any("pack" in k for k in kernels)
    told = [decision.reason for decision in artifact.report.decisions if decision.step == "DecodeWeights"]
    assert told == ["36,864 bytes, packed to 294,912 when it is opened"] * 2


@NEEDS_AVX2
def test_winograd_in_the_virtual_machine_has_transformed_weights(tmp_path: Path) -> None:
    """It opens nothing: its kernels would pack in every inference."""
    model = winograd_network(batch="n")
    with pytest.warns(UserWarning, match="virtual machine"):
        artifact = ec.compile(model, target=WORDS, out=tmp_path / "net")
    x, other = int8(1, 64, 12, 12), np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(artifact.run(x, other)[0], run_reference(model.module, [x, other])[0])
    told = [decision.reason for decision in artifact.report.decisions if decision.step == "DecodeWeights"]
    assert told == ["36,864 bytes, packed to 294,912 when it is compiled"] * 2


@pytest.mark.parametrize("inner", [64, 30])
def test_product(inner: int, tmp_path: Path) -> None:
    x = TensorSpec("x", (5, inner), "int8")

    def body(builder: relax.BlockBuilder, value: relax.Var) -> relax.Expr:
        sums = builder.emit(operators.matmul(value, constant(int8(inner, 21)), zero_point=9, other_zero_point=0))
        numbers = {"axis": 1, "input_zero_point": 0, "zero_point": 0}
        return builder.emit(operators.requantize(sums, FixedPoint.of(np.full(21, 2e-3)), **numbers))

    check(make_model([x], body, [TensorSpec("y", (5, 21), "int8")]), tmp_path)


def test_elementwise_kernels_keep_their_annotation() -> None:
    from edgecompile.passes.annotate_elementwise import ELEMENTWISE, AnnotateElementwise

    function = tvm.tirx.PrimFunc([], tvm.tirx.Evaluate(0)).with_attr("op_pattern", 2)
    module = tvm.IRModule({"marked": function.with_attr(ELEMENTWISE, 1), "other": function})
    result = AnnotateElementwise()(module, [])
    assert [int(result[name].attrs["op_pattern"]) for name in ("marked", "other")] == [0, 2]
