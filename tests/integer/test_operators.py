"""Integer operators: their compiled loops against the NumPy reference, for every attribute."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.errors import UnsupportedModelError
from edgecompile.integer import FixedPoint, operators
from edgecompile.integer.reference import run_reference
from edgecompile.integer.resampling import linear_taps, window_taps
from edgecompile.resizing import Axis

RNG = np.random.default_rng(3)


def int8(*shape: int) -> np.ndarray:
    """Every value, the ends too."""
    values = RNG.integers(-128, 128, shape).astype(np.int8)
    values.reshape(-1)[:2] = (-128, 127)
    return values


def module_of(value: relax.Expr, *inputs: relax.Var) -> tvm.IRModule:
    builder = relax.BlockBuilder()
    with builder.function("main", list(inputs)):
        with builder.dataflow():
            output = builder.emit_output(value)
        builder.emit_func_output(output)
    return builder.get()


def check(value: relax.Expr, *inputs: tuple[relax.Var, np.ndarray]) -> np.ndarray:
    """Run both ways; answers the common result."""
    module = module_of(value, *(variable for variable, _ in inputs))
    arrays = [array for _, array in inputs]
    machine = relax.VirtualMachine(relax.build(relax.transform.LegalizeOps()(module), "llvm"), tvm.cpu())
    got = machine["main"](*map(tvm.runtime.tensor, arrays)).numpy()
    (expected,) = run_reference(module, arrays)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    return got


def variable(name: str, array: np.ndarray) -> tuple[relax.Var, np.ndarray]:
    return relax.Var(name, relax.TensorType(array.shape, str(array.dtype))), array


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize(
    ("channels", "weights", "groups", "strides", "padding", "dilation"),
    [
        (6, (4, 6, 3, 3), 1, (1, 1), (1, 1, 1, 1), (1, 1)),
        (6, (6, 1, 3, 5), 6, (2, 1), (0, 2, 1, 3), (1, 1)),
        (8, (4, 2, 1, 1), 4, (2, 2), (0, 0, 0, 0), (1, 1)),
        (3, (5, 3, 3, 2), 1, (1, 2), (2, 0, 1, 1), (2, 3)),
    ],
)
def test_conv2d(
    channels: int,
    weights: tuple[int, ...],
    groups: int,
    strides: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    dtype: str,
) -> None:
    x, array = variable("x", int8(2, channels, 9, 11))
    weight = int8(*weights).astype(dtype) * (2 if dtype == "int16" else 1)
    bias = RNG.integers(-(2**20), 2**20, weights[0]).astype(np.int32)
    numbers = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups, "zero_point": -37}
    call = operators.conv2d(x, relax.const(weight, dtype), relax.const(bias, "int32"), **numbers)
    check(call, (x, array))


@pytest.mark.parametrize(("a_shape", "b_shape"), [((5, 7), (7, 3)), ((2, 5, 7), (7, 3)), ((2, 3, 5, 7), (2, 3, 7, 4))])
def test_matmul(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    a, b = variable("a", int8(*a_shape)), variable("b", int8(*b_shape))
    check(operators.matmul(a[0], b[0], zero_point=-128, other_zero_point=5), a, b)


@pytest.mark.parametrize("largest", [0.01, 40.0])
def test_requantize(largest: float) -> None:
    sums = RNG.integers(-(2**15), 2**15, (2, 4, 3, 5)).astype(np.int32)
    factor = FixedPoint.of(np.geomspace(1e-5, largest, 4))
    x = variable("x", sums)
    numbers = {"axis": 1, "input_zero_point": 300, "zero_point": 4, "low": -100, "high": 120}
    got = check(operators.requantize(x[0], factor, **numbers), x)
    assert set(np.unique(got)) > {-100, 120}


def test_requantize_int8() -> None:
    x = variable("x", int8(3, 50))
    numbers = {"axis": 0, "input_zero_point": -128, "zero_point": 0}
    check(operators.requantize(x[0], FixedPoint.of(0.7), **numbers), x)


@pytest.mark.parametrize("multipliers", [(20000, 32767), (1, -30000)])
def test_add(multipliers: tuple[int, int]) -> None:
    a, b = variable("a", int8(7, 300)), variable("b", int8(7, 300))
    numbers = {"shift": 16, "zero_points": (-128, 127), "zero_point": -3, "low": -128, "high": 110}
    check(operators.add(a[0], b[0], multipliers=multipliers, **numbers), a, b)


def test_lookup_reads_every_entry() -> None:
    table = RNG.permutation(np.arange(-128, 128)).astype(np.int8)
    x = variable("x", np.arange(-128, 128, dtype=np.int8))
    np.testing.assert_array_equal(check(operators.lookup(x[0], table), x), table)


def test_the_reference_names_what_it_does_not_know() -> None:
    x, array = variable("x", np.zeros((2, 2), np.float32))
    with pytest.raises(UnsupportedModelError, match=r"needs a definition of relax\.sin"):
        run_reference(module_of(relax.op.sin(x), x), [array])


@pytest.mark.parametrize("shapes", [((2, 5, 3, 7), (2, 5, 1, 1)), ((2, 1, 3, 7), (2, 5, 3, 7)), ((4, 9), (9,))])
@pytest.mark.parametrize("factor", [2e-3, 0.4, 7.0, 1e-6])
def test_multiply(shapes: tuple[tuple[int, ...], tuple[int, ...]], factor: float) -> None:
    a, b = (variable(name, int8(*shape)) for name, shape in zip("ab", shapes, strict=True))
    numbers = {"zero_points": (-128, 5), "zero_point": -3, "low": -120, "high": 127}
    check(operators.multiply(a[0], b[0], FixedPoint.of(factor), **numbers), a, b)


def test_multiply_at_the_ends() -> None:
    """255 * 255 times the largest multiplier."""
    a, b = variable("a", np.array([-128, 127], np.int8)), variable("b", np.array([127, 127], np.int8))
    factor = FixedPoint.of((2**15 - 1) / 2**15 / 2**9)
    got = check(operators.multiply(a[0], b[0], factor, zero_points=(127, -128), zero_point=0), a, b)
    np.testing.assert_array_equal(got, [-127, 0])


@pytest.mark.parametrize(
    "axes", [(Axis(5, 9, "linear", "half_pixel", ""), 3), (Axis(5, 13, "linear", "align_corners", ""), 5)]
)
def test_resample(axes: tuple[Axis, int]) -> None:
    axis, size = axes
    x = variable("x", int8(2, 3, 5, 8))
    columns = window_taps(8, 8, size=size, stride=1, dilation=1, before=size // 2, counts_padding=False)
    assert columns is not None
    check(operators.resample(x[0], linear_taps(axis), columns, zero_point=-128), x)
