"""Integer products that broadcast, averages, resizing, padding and joins between convolutions: all on blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.integer import FixedPoint, operators
from edgecompile.integer.resampling import adaptive_taps, linear_taps, window_taps
from edgecompile.resizing import Axis
from tests.passes.layouts.test_integers import check, convolution, int8
from tests.relax_models import make_model

SHAPE = (1, 32, 10, 12)
Body = Callable[[relax.BlockBuilder, relax.Expr], relax.Expr]


def requantized(builder: relax.BlockBuilder, sums: relax.Expr, denominator: int) -> relax.Expr:
    factor = FixedPoint.of(0.9 / denominator)
    numbers = {"axis": 1, "input_zero_point": 0, "zero_point": 7}
    return builder.emit(operators.requantize(builder.emit(sums), factor, **numbers))


def gated(builder: relax.BlockBuilder, x: relax.Expr) -> relax.Expr:
    """Squeeze and excite, its gate from a table, and a product with itself turned around."""
    total = builder.emit(relax.op.sum(builder.emit(relax.op.astype(x, "int32")), [2, 3], keepdims=True))
    gate = convolution(builder, requantized(builder, total, 120), int8(32, 32, 1, 1))
    gate = builder.emit(operators.lookup(gate, np.arange(127, -129, -1).astype(np.int8)))
    product = operators.multiply(gate, x, FixedPoint.of(0.008), zero_points=(-128, -5), zero_point=3)
    both = operators.multiply(x, builder.emit(product), FixedPoint.of(0.01), zero_points=(-5, 3), zero_point=0)
    return builder.emit(both)


def pooled(builder: relax.BlockBuilder, x: relax.Expr) -> relax.Expr:
    rows = window_taps(10, 10, size=3, stride=1, dilation=1, before=1, counts_padding=False)
    columns = window_taps(12, 12, size=5, stride=1, dilation=1, before=2, counts_padding=True)
    assert rows is not None and columns is not None
    sums = operators.resample(x, rows, columns, zero_point=-5)
    small = requantized(builder, sums, rows.denominator * columns.denominator)
    parts = [adaptive_taps(10, 4), adaptive_taps(12, 5)]
    return requantized(builder, operators.resample(small, *parts, zero_point=7), parts[0].denominator * 12)


def enlarged(builder: relax.BlockBuilder, x: relax.Expr) -> relax.Expr:
    """The same size again by two ways, side by side."""
    axes = [linear_taps(Axis(extent, 2 * extent, "linear", "half_pixel", "")) for extent in SHAPE[2:]]
    linear = requantized(builder, operators.resample(x, *axes, zero_point=-5), 16)
    nearest = builder.emit(
        relax.op.image.resize2d(
            builder.emit(relax.op.nn.pad(x, [0, 0, 0, 0, 0, 0, 0, 0], "constant", -5)),
            (20, 24),
            method="nearest_neighbor",
            coordinate_transformation_mode="asymmetric",
            rounding_method="floor",
        )
    )
    return builder.emit(relax.op.concat([linear, nearest], 1))


def padded(builder: relax.BlockBuilder, x: relax.Expr) -> relax.Expr:
    return builder.emit(relax.op.nn.pad(x, [0, 0, 0, 0, 1, 2, 0, 3], "constant", -5))


@pytest.mark.parametrize(
    ("body", "shape"),
    [(gated, SHAPE), (pooled, (1, 32, 4, 5)), (enlarged, (1, 64, 20, 24)), (padded, (1, 32, 13, 15))],
)
def test_between_two_convolutions(body: Body, shape: tuple[int, int, int, int], tmp_path: Path) -> None:
    """Only what comes in and what goes out is converted."""

    def whole(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        first = convolution(builder, x, int8(32, 32, 3, 3))
        return convolution(builder, body(builder, first), int8(16, shape[1], 1, 1))

    result = TensorSpec("y", (1, 16, *shape[2:]), "int8")
    kernels = check(make_model([TensorSpec("x", SHAPE, "int8")], whole, [result]), tmp_path)
    assert sum("to_blocks" in kernel for kernel in kernels) <= 1, kernels
    assert sum("from_blocks" in kernel for kernel in kernels) <= 1, kernels
