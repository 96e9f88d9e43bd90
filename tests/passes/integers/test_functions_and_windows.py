"""Functions of one number, products and sums that broadcast, averages, resizing and movements, fused to integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tvm import relax

from tests.passes.integers.test_fuse_integer_operators import (
    SHAPE,
    check,
    fused,
    module_of,
    operators,
    run,
    through,
)

Emit = Callable[[relax.BlockBuilder, relax.Var], relax.Expr]
CONVERSIONS = {"quantize": 1, "dequantize": 1}


def number(value: float, rank: int = 0) -> relax.Expr:
    return relax.const(np.full((1,) * rank, value, np.float32))


def between(function: Emit, low: float = -4, high: float = 4) -> Emit:
    """The function between dequantize and quantize."""
    return lambda builder, x: through(builder, function(builder, through(builder, x, -3, 3)), low, high)


def hard_swish(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
    gate = builder.emit(relax.op.clip(builder.emit(relax.op.add(x, number(3, 4))), 0, 6))
    return builder.emit(relax.op.divide(builder.emit(relax.op.multiply(x, gate)), number(6)))


def mish(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
    smooth = builder.emit(relax.op.log(builder.emit(relax.op.add(builder.emit(relax.op.exp(x)), number(1)))))
    return builder.emit(relax.op.multiply(builder.emit(relax.op.tanh(smooth)), x))


def slope(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
    positive = builder.emit(relax.op.greater(x, number(0)))
    return builder.emit(relax.op.where(positive, x, builder.emit(relax.op.multiply(x, number(-0.3)))))


def one(operator: Callable[[relax.Expr], relax.Expr]) -> Emit:
    return lambda builder, x: builder.emit(operator(x))


@pytest.mark.parametrize(
    "function",
    [
        hard_swish,
        mish,
        slope,
        one(relax.op.sin),
        one(relax.op.nn.softplus),
        one(lambda x: relax.op.multiply(x, x)),
        one(lambda x: relax.op.nn.leakyrelu(x, 0.3)),
    ],
)
def test_a_function_of_one_number_is_a_table(function: Emit) -> None:
    assert check(between(function)) == {**CONVERSIONS, "lookup": 1}


def test_where_a_function_is_no_number_the_table_holds_the_lowest_level() -> None:
    result, _ = fused(module_of(between(one(relax.op.log))))
    x = np.full(SHAPE, -1, np.float32)
    np.testing.assert_array_equal(run(result, x), run(result, np.full(SHAPE, 1e-6, np.float32)))


def test_functions_of_two_tensors_or_of_channels_are_no_tables() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        a, b = through(builder, x, -3, 3), through(builder, x, -1, 2)
        return through(builder, builder.emit(relax.op.maximum(a, b)), -4, 4)

    result, decisions = fused(module_of(build))
    assert operators(result)["lookup"] == 0 and operators(result)["maximum"] == 1
    assert [decision.reason for decision in decisions] == [
        "quantizes the float result of an input",
        "quantizes the float result of an input",
        "quantizes the float result of maximum",
    ]


@pytest.mark.parametrize("operator", [relax.op.multiply, relax.op.add, relax.op.subtract])
@pytest.mark.parametrize("axes", [[2, 3], [1], []])
def test_two_tensors_of_which_one_broadcasts(
    operator: Callable[[relax.Expr, relax.Expr], relax.Expr], axes: list[int]
) -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        quantized = through(builder, x, -3, 3)
        other = through(builder, x, -1, 2)
        if axes:
            other = through(builder, builder.emit(relax.op.max(other, axes, keepdims=True)), -1, 2)
        return through(builder, builder.emit(operator(other, quantized)), -4, 4)

    found = check(build)
    assert found["multiply" if operator is relax.op.multiply else "add"] == 1
    assert found["quantize"] == 2 and found["dequantize"] == 1


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: relax.op.nn.avg_pool2d(x, (2, 2), (2, 2)),
        lambda x: relax.op.nn.avg_pool2d(x, (3, 3), (1, 1), (1, 1, 1, 1)),
        lambda x: relax.op.nn.avg_pool2d(x, (3, 3), (2, 2), (1, 0, 1, 1), count_include_pad=True),
        lambda x: relax.op.nn.avg_pool2d(x, (2, 3), (2, 3), (0, 0, 0, 0), ceil_mode=True),
        lambda x: relax.op.nn.avg_pool2d(x, (5, 5), (1, 1), (2, 2, 2, 2)),
        lambda x: relax.op.nn.adaptive_avg_pool2d(x, (4, 3)),
    ],
)
def test_average_pooling(pool: Callable[[relax.Expr], relax.Expr]) -> None:
    assert check(between(one(pool), -2, 2)) == {**CONVERSIONS, "resample": 1, "requantize": 1}


def test_average_of_an_image_is_one_sum() -> None:
    found = check(between(one(lambda x: relax.op.nn.avg_pool2d(x, (6, 7))), -1, 1))
    assert found["sum"] == found["requantize"] == 1


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("size", [(12, 14), (5, 17)])
def test_linear_resizing(coordinates: str, size: tuple[int, int]) -> None:
    def resize(x: relax.Expr) -> relax.Expr:
        return relax.op.image.resize2d(x, size, method="linear", coordinate_transformation_mode=coordinates)

    assert check(between(one(resize))) == {**CONVERSIONS, "resample": 1, "requantize": 1}


def test_cubic_resizing_stays_float() -> None:
    cubic = between(one(lambda x: relax.op.image.resize2d(x, (12, 14), method="cubic")))
    assert operators(fused(module_of(cubic))[0])["image.resize2d"] == 1


def nearest(x: relax.Expr) -> relax.Expr:
    return relax.op.image.resize2d(
        x,
        (12, 9),
        method="nearest_neighbor",
        coordinate_transformation_mode="half_pixel",
        rounding_method="round_prefer_floor",
    )


@pytest.mark.parametrize(
    ("name", "move"),
    [
        ("image.resize2d", nearest),
        ("nn.pad", lambda x: relax.op.nn.pad(x, [0, 0, 0, 0, 1, 2, 0, 3], "constant", 0.0)),
        ("take", lambda x: relax.op.take(x, relax.const(np.array([3, 0, 5], np.int64)), axis=1)),
        ("flip", lambda x: relax.op.flip(x, 3)),
        ("repeat", lambda x: relax.op.repeat(x, 2, 2)),
        ("tile", lambda x: relax.op.tile(x, [1, 1, 2, 1])),
        ("strided_slice", lambda x: relax.op.strided_slice(x, [2, 3], [0, 1], [6, 7], [1, 2])),
        ("broadcast_to", lambda x: relax.op.broadcast_to(x, (3, 8, 6, 7))),
        ("max", lambda x: relax.op.max(x, [1], keepdims=True)),
        ("min", lambda x: relax.op.min(x, [2, 3])),
        ("nn.max_pool2d", lambda x: relax.op.nn.max_pool2d(x, (3, 2), (2, 1), (1, 0, 1, 0))),
    ],
)
def test_movements(name: str, move: Callable[[relax.Expr], relax.Expr]) -> None:
    assert check(between(one(move), -3, 3)) == {**CONVERSIONS, name: 1}


def test_parts_of_a_tensor() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        parts = builder.emit(relax.op.split(through(builder, x, -3, 3), [2, 5], 1))
        first, _, last = (builder.emit(relax.TupleGetItem(parts, index)) for index in range(3))
        joined = builder.emit(relax.op.concat([last, first], 1))
        return through(builder, joined, -3, 3)

    assert check(build) == {**CONVERSIONS, "split": 1, "concat": 1}


@pytest.mark.parametrize(("value", "is_integer"), [(3 * 6 / 255, True), (0.5 * 6 / 255, False), (9.0, False)])
def test_padding_with_a_number_that_may_be_no_integer(value: float, is_integer: bool) -> None:
    padded = between(one(lambda x: relax.op.nn.pad(x, [0, 0, 0, 0, 1, 1, 1, 1], "constant", value)), -3, 3)
    result, decisions = fused(module_of(padded))
    assert operators(result)["dequantize"] == (1 if is_integer else 2)
    assert any("float result of nn.pad" in decision.reason for decision in decisions) != is_integer
    if is_integer:
        check(padded)


def test_a_movement_of_other_readers_is_computed_once() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        pooled = builder.emit(relax.op.nn.max_pool2d(through(builder, x, -3, 3), (2, 2), (2, 2)))
        gate = through(builder, builder.emit(relax.op.sigmoid(pooled)), 0, 1)
        return through(builder, builder.emit(relax.op.multiply(pooled, gate)), -3, 3)

    assert check(build) == {**CONVERSIONS, "nn.max_pool2d": 1, "lookup": 1, "multiply": 1}


def test_module_is_not_changed() -> None:
    module = module_of(between(hard_swish))
    before = module.script()
    fused(module)
    assert module.script() == before


def test_factors_and_offsets_of_channels() -> None:
    """Batch norm behind a concatenation; one factor is nothing, one is negative."""
    factors = np.array([0.4, -0.7, 0, 1e-9, 2, 1, 0.9, -1e-3], np.float32).reshape(1, 8, 1, 1)
    offsets = np.linspace(-1, 2, 8, dtype=np.float32).reshape(8, 1, 1)

    def norm(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        scaled = builder.emit(relax.op.multiply(x, relax.const(factors)))
        return builder.emit(relax.op.nn.relu(builder.emit(relax.op.add(scaled, relax.const(offsets)))))

    assert check(between(norm)) == {**CONVERSIONS, "conv2d": 1, "requantize": 1}


def test_a_table_stands_in_front_of_reshapes_and_where_it_changes_nothing_there_is_none() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        flat = builder.emit(relax.op.reshape(through(builder, x, -3, 3), (1, 8, 42)))
        back = builder.emit(relax.op.reshape(builder.emit(relax.op.sin(flat)), SHAPE))
        halved = builder.emit(relax.op.multiply(through(builder, back, -1, 1), number(0.5)))
        return through(builder, halved, -0.5, 0.5)

    assert check(build) == {**CONVERSIONS, "lookup": 1, "reshape": 2}


def test_float_operators_between_unsigned_integers_convert_signed_ones() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        shares = builder.emit(relax.op.nn.softmax(through(builder, x, -3, 3, "uint8"), -1))
        return through(builder, shares, 0, 1, "uint8")

    module = module_of(build)
    result, _ = fused(module)
    assert operators(result) == {"quantize": 2, "dequantize": 2, "nn.softmax": 1}
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    np.testing.assert_array_equal(run(result, x), run(module, x))
