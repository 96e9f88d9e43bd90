"""The polynomials against float64, all over the range of float32."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from edgecompile.target import find_target
from schedules.cpu.polynomials import exp_of_nonpositive, use_polynomials
from targets.cpu.lower_kernels import lower_kernels
from targets.cpu.object_code import tvm_target

LANES = 16


def compute(name: str, x: np.ndarray, *, vector: bool) -> np.ndarray:
    """`tirx.<name>` of every element, with our polynomial in its place."""
    given = te.placeholder((x.size,), "float32")
    result = te.compute(given.shape, lambda i: getattr(tirx, name)(given[i]), name="result")
    schedule = tvm.s_tir.Schedule(te.create_prim_func([given, result]))
    if vector:
        (loop,) = schedule.get_loops(schedule.get_sblock("result"))
        schedule.vectorize(schedule.split(loop, [None, LANES])[1])
    function = schedule.mod["main"]
    rewritten = function.with_body(use_polynomials(function.body))
    assert f"T.{name}" not in rewritten.script()
    out = np.zeros_like(x)
    tensors = [tvm.runtime.tensor(array) for array in (x, out)]
    target = tvm_target(find_target("host"))
    tvm.compile(tvm.IRModule({"main": rewritten}), target=target)["main"](*tensors)
    return tensors[1].numpy()


@pytest.mark.parametrize("target_name", ["host,llvm_cpu=haswell", "host,llvm_cpu=skylake-avx512", "rpi4"])
@pytest.mark.parametrize("name", ["exp", "erf", "sigmoid", "tanh", "log", "log1p"])
def test_vectors_call_no_library(name: str, target_name: str) -> None:
    given = te.placeholder((1024,), "float32")
    result = te.compute(given.shape, lambda i: getattr(tirx, name)(given[i]), name="result")
    schedule = tvm.s_tir.Schedule(te.create_prim_func([given, result]))
    (loop,) = schedule.get_loops(schedule.get_sblock("result"))
    schedule.vectorize(schedule.split(loop, [None, LANES])[1])
    function = schedule.mod["main"]
    rewritten = tvm.IRModule({"main": function.with_body(use_polynomials(function.body))})
    lowered = lower_kernels({"main": rewritten["main"]}, tvm_target(find_target(target_name)))
    source = assembly(lowered["main"].function, target_name)
    called = re.findall(r"^\s+(?:callq?|bl)\s+(\S+)", source, re.MULTILINE)
    assert not called and len(source) > 1000


def assembly(function: tvm.tirx.PrimFunc, target_name: str) -> str:
    """What LLVM makes of a lowered kernel."""
    target = tvm_target(find_target(target_name))
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    passes = [tvm.tirx.transform.BindTarget(target), tvm.tirx.transform.LowerIntrin()]
    module = tvm.transform.Sequential(passes)(module)
    return str(tvm.get_global_func("target.build.llvm")(module, target).inspect_source("asm"))


def units_apart(got: np.ndarray, exact: np.ndarray) -> float:
    """The largest distance in units of the last place of float32."""
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return float(np.max(np.abs(got.astype(np.float64) - exact) / unit))


@pytest.mark.parametrize("vector", [False, True])
def test_exp(vector: bool) -> None:
    x = np.linspace(-103.9, 88.72, 1 << 20, dtype=np.float32)
    with np.errstate(under="ignore"):
        assert units_apart(compute("exp", x, vector=vector), np.exp(x.astype(np.float64))) <= 2


def test_exp_of_nonpositive() -> None:
    x = np.linspace(-87.33, 0, 1 << 20, dtype=np.float32)
    x[-5:] = [-math.inf, -87.4, -1e30, math.nan, np.uint32(0x7FC00155).view(np.float32)]
    given = te.placeholder((x.size,), "float32")
    result = te.compute(given.shape, lambda i: exp_of_nonpositive(given[i] + 0.0))
    function = te.create_prim_func([given, result]).with_attr("global_symbol", "main")
    tensors = [tvm.runtime.tensor(array) for array in (x, np.zeros_like(x))]
    tvm.compile(tvm.IRModule({"main": function}), target=tvm_target(find_target("host")))["main"](*tensors)
    got = tensors[1].numpy()
    assert units_apart(got[:-5], np.exp(x[:-5].astype(np.float64))) <= 2
    np.testing.assert_array_equal(got[-5:], [0, 0, 0, np.nan, np.nan])


@pytest.mark.parametrize("vector", [False, True])
def test_erf(vector: bool) -> None:
    x = np.concatenate([np.linspace(-6, 6, (1 << 18) - 64), np.geomspace(1e-30, 1, 64)]).astype(np.float32)
    exact = np.vectorize(math.erf)(x.astype(np.float64))
    np.testing.assert_allclose(compute("erf", x, vector=vector), exact, rtol=4e-7, atol=0)


def test_sigmoid() -> None:
    x = np.linspace(-80, 80, 1 << 18, dtype=np.float32)
    np.testing.assert_allclose(compute("sigmoid", x, vector=True), 1 / (1 + np.exp(-x.astype(np.float64))), rtol=5e-7)


def all_magnitudes(count: int = 1 << 18) -> np.ndarray:
    """Positive numbers evenly over float32's bits, from the least subnormal one to the largest."""
    return np.linspace(1, 0x7F7FFFFF, count, dtype=np.float64).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("vector", [False, True])
def test_tanh(vector: bool) -> None:
    x = np.concatenate([np.linspace(-11, 11, 1 << 20, dtype=np.float32), -all_magnitudes(), all_magnitudes()])
    assert units_apart(compute("tanh", x, vector=vector), np.tanh(x.astype(np.float64))) <= 3


@pytest.mark.parametrize("vector", [False, True])
def test_log(vector: bool) -> None:
    x = np.concatenate([np.linspace(0.25, 4, 1 << 20, dtype=np.float32), all_magnitudes()])
    assert units_apart(compute("log", x, vector=vector), np.log(x.astype(np.float64))) <= 1


@pytest.mark.parametrize("vector", [False, True])
def test_log1p(vector: bool) -> None:
    near_minus_one = -1 + np.geomspace(2.0**-24, 0.5, 1 << 16)
    x = np.concatenate([np.linspace(-0.75, 3, 1 << 20), near_minus_one]).astype(np.float32)
    x = np.concatenate([x, all_magnitudes(), -all_magnitudes()[: 1 << 16]])
    assert units_apart(compute("log1p", x, vector=vector), np.log1p(x.astype(np.float64))) <= 1.5


@pytest.mark.parametrize("exponent", [2, 3])
def test_small_powers(exponent: int) -> None:
    x = np.linspace(-30, 30, 1 << 16, dtype=np.float32)
    given = te.placeholder((x.size,), "float32")
    result = te.compute(given.shape, lambda i: tirx.pow(given[i], tirx.const(float(exponent), "float32")))
    function = te.create_prim_func([given, result]).with_attr("global_symbol", "main")
    function = function.with_body(use_polynomials(function.body))
    assert "T.pow" not in function.script()
    tensors = [tvm.runtime.tensor(array) for array in (x, np.zeros_like(x))]
    tvm.compile(tvm.IRModule({"main": function}), target=tvm_target(find_target("host")))["main"](*tensors)
    assert units_apart(tensors[1].numpy(), x.astype(np.float64) ** exponent) <= 1.5


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("exp", {-math.inf: 0.0, math.inf: math.inf, 89.0: math.inf, -105.0: 0.0, 0.0: 1.0}),
        ("erf", {-math.inf: -1.0, math.inf: 1.0, 5.0: 1.0, -5.0: -1.0, 0.0: 0.0}),
        ("tanh", {-math.inf: -1.0, math.inf: 1.0, 50.0: 1.0, -1e-40: -1e-40, 0.0: 0.0}),
        ("log", {0.0: -math.inf, math.inf: math.inf, 1.0: 0.0, -1.0: math.nan, -math.inf: math.nan}),
        ("log1p", {-1.0: -math.inf, math.inf: math.inf, 0.0: 0.0, 1e-40: 1e-40, -2.0: math.nan, -math.inf: math.nan}),
        ("sigmoid", {-math.inf: 0.0, math.inf: 1.0, 100.0: 1.0, -200.0: 0.0, 0.0: 0.5}),
    ],
)
def test_ends_of_the_range(name: str, limits: dict[float, float]) -> None:
    x = np.zeros(LANES, np.float32)
    x[: len(limits) + 1] = [*limits, math.nan]
    got = compute(name, x, vector=True)
    np.testing.assert_allclose(got[: len(limits)], np.array(list(limits.values()), np.float32), rtol=6e-8, atol=0)
    assert np.isnan(got[len(limits)])


def test_other_dtypes_and_functions_stay() -> None:
    given = te.placeholder((4,), "float64")
    result = te.compute(given.shape, lambda i: tirx.exp(given[i]) + tirx.log(given[i]) + tirx.sin(given[i]))
    body = te.create_prim_func([given, result]).body
    assert use_polynomials(body).script() == body.script()
