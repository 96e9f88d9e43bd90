"""Kernels that work row by row, against NumPy in float64, on rows that no vector divides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.passes import lower, standard_phases
from edgecompile.schedule import kernels_of
from edgecompile.target import find_target
from schedules.cpu import RowTemplate
from schedules.cpu.polynomials import use_polynomials
from targets.cpu.object_code import tvm_target
from tests.relax_models import constant, make_model

Body = Callable[[relax.BlockBuilder, relax.Var], relax.Expr]
Reference = Callable[[np.ndarray], np.ndarray]

TARGETS = ["host", "host,vector_bytes=16,vector_registers=16"]
RNG = np.random.default_rng(0)
SCALE, SHIFT, RESIDUAL = (RNG.standard_normal((7, 53)).astype(np.float32) for _ in range(3))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    centred = x - x.max(-1, keepdims=True)
    return centred - np.log(np.exp(centred).sum(-1, keepdims=True))


def normalized(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)


def layer_norm(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
    normed = b.emit(relax.op.nn.layer_norm(x, constant(SCALE[0]), constant(SHIFT[0]), axes=[-1]))
    return relax.op.nn.relu(b.emit(relax.op.add(normed, constant(RESIDUAL))))


def layer_norm_of_two(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
    del b
    return relax.op.nn.layer_norm(x, constant(SCALE), constant(SHIFT), axes=[-2, -1])


def rms_norm(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
    del b
    return relax.op.nn.rms_norm(x, constant(SCALE[0]), axes=[-1], epsilon=1e-5)


CASES: dict[str, tuple[tuple[int, ...], Body, Reference]] = {
    "softmax": ((2, 7, 53), lambda b, x: relax.op.nn.softmax(x), softmax),
    "softmax of one row": ((1, 1000), lambda b, x: relax.op.nn.softmax(x), softmax),
    "softmax of many rows": ((5, 130, 197), lambda b, x: relax.op.nn.softmax(x), softmax),
    "softmax, less than a vector": ((3, 5), lambda b, x: relax.op.nn.softmax(x), softmax),
    "log_softmax": ((2, 7, 53), lambda b, x: relax.op.nn.log_softmax(x), log_softmax),
    "layer_norm, residual, relu": (
        (3, 7, 53),
        layer_norm,
        lambda x: np.maximum(normalized(x, (-1,)) * SCALE[0] + SHIFT[0] + RESIDUAL, 0),
    ),
    "layer_norm of two axes": ((3, 7, 53), layer_norm_of_two, lambda x: normalized(x, (-2, -1)) * SCALE + SHIFT),
    "rms_norm": ((3, 7, 53), rms_norm, lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * SCALE[0]),
    "mean": ((3, 7, 53), lambda b, x: relax.op.mean(x, [-1], keepdims=True), lambda x: x.mean(-1, keepdims=True)),
    "sum of all": ((50, 100), lambda b, x: relax.op.sum(x), lambda x: x.sum()),
    "mean of images": ((2, 33, 7, 7), lambda b, x: relax.op.mean(x, [2, 3]), lambda x: x.mean((2, 3))),
    "global pooling": (
        (2, 33, 7, 7),
        lambda b, x: relax.op.nn.adaptive_avg_pool2d(x, (1, 1)),
        lambda x: x.mean((2, 3), keepdims=True),
    ),
    "standard deviation": ((3, 7, 53), lambda b, x: relax.op.std(x, [-1]), lambda x: x.std(-1)),
    "maximum": ((3, 7, 53), lambda b, x: relax.op.max(x, [-1]), lambda x: x.max(-1)),
    "minimum": ((3, 7, 18), lambda b, x: relax.op.min(x, [-1]), lambda x: x.min(-1)),
}


def kernel_of(shape: tuple[int, ...], body: Body, dtype: str = "float32") -> tvm.tirx.PrimFunc:
    model = make_model([TensorSpec("x", shape, dtype)], body, [TensorSpec("y", (), dtype)])
    (kernel,) = kernels_of(lower(model.module, standard_phases(), tvm.target.Target("llvm")).module).values()
    return kernel


def run(kernel: tvm.tirx.PrimFunc, target_name: str, x: np.ndarray, constants: list[np.ndarray]) -> np.ndarray:
    """What the template's loops compute, from memory that holds NaN."""
    target = find_target(target_name)
    schedule = RowTemplate().apply(kernel, target)
    assert schedule is not None
    function = schedule.mod["main"]
    function = function.with_body(use_polynomials(function.body)).with_attr("global_symbol", "main")
    shape = [int(extent) for extent in kernel.params[-1].shape]
    out = np.full(shape, np.nan if x.dtype.kind == "f" else -1, x.dtype)
    tensors = [tvm.runtime.tensor(array) for array in (x, *constants, out)]
    tvm.compile(tvm.IRModule({"main": function}), target=tvm_target(target))["main"](*tensors)
    return tensors[-1].numpy()


def constants_of(kernel: tvm.tirx.PrimFunc) -> list[np.ndarray]:
    """The arrays of a kernel's parameters between the first and the last, by their shapes and order."""
    rows = iter((SCALE[0], SHIFT[0]))
    tables = iter((RESIDUAL,) if any(len(p.shape) == 1 for p in kernel.params) else (SCALE, SHIFT))
    return [next(rows) if len(parameter.shape) == 1 else next(tables) for parameter in kernel.params[1:-1]]


@pytest.mark.parametrize("target_name", TARGETS)
@pytest.mark.parametrize("name", CASES)
def test_against_float64(name: str, target_name: str) -> None:
    shape, body, reference = CASES[name]
    kernel = kernel_of(shape, body)
    x = (3 * RNG.standard_normal(shape) + 1).astype(np.float32)
    expected = reference(x.astype(np.float64))
    found = run(kernel, target_name, x, constants_of(kernel))
    # A few roundings of values of this size: the sums are pairwise to a great part.
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6 * max(1.0, np.abs(expected).max() / 8))


@pytest.mark.parametrize("target_name", TARGETS)
def test_whole_numbers_are_exact(target_name: str) -> None:
    x = RNG.integers(-1000, 1000, (7, 53)).astype(np.int32)
    found = run(kernel_of((7, 53), lambda b, x: relax.op.sum(x, [-1]), "int32"), target_name, x, [])
    np.testing.assert_array_equal(found, x.sum(-1))


@pytest.mark.parametrize("target_name", TARGETS)
def test_special_values_of_softmax(target_name: str) -> None:
    x = RNG.standard_normal((5, 37)).astype(np.float32)
    x[0, 3], x[1, 36], x[2], x[3, :36] = np.nan, -np.inf, -np.inf, -np.inf
    found = run(kernel_of((5, 37), lambda b, x: relax.op.nn.softmax(x)), target_name, x, [])
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found, softmax(x.astype(np.float64)), rtol=2e-6, atol=1e-9)
    assert np.isnan(found[[0, 2]]).all() and found[1, 36] == 0 and found[3, 36] == 1


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ((37, 5), lambda b, x: relax.op.nn.softmax(x, axis=0)),
        ((37, 3), lambda b, x: relax.op.nn.softmax(x)),
        ((1, 2, 16, 16), lambda b, x: relax.op.nn.max_pool2d(x, (4, 4), (4, 4))),
        ((4, 8), lambda b, x: relax.op.exp(x)),
        ((3, 37), lambda b, x: relax.op.prod(x, [-1])),
        ((2, 40000), lambda b, x: relax.op.nn.softmax(x)),
    ],
    ids=["other axis", "rows too short", "windows", "no reduction", "product", "rows too long for the stack"],
)
def test_refused(shape: tuple[int, ...], body: Body) -> None:
    assert RowTemplate().apply(kernel_of(shape, body), find_target("host")) is None
