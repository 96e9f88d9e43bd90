"""One function for kernels that differ in numbers alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import te, tirx

import edgecompile as ec
from edgecompile.target import find_target
from targets.cpu.lower_kernels import lower_kernels
from targets.cpu.object_code import tvm_target
from targets.cpu.share_kernels import MOST_ARGUMENTS, SharedKernel, share_kernels

Value = Callable[[te.Tensor, tirx.Var], tvm.ir.Expr]


def lowered(values: dict[str, Value], dtype: str = "float32") -> dict[str, tirx.PrimFunc]:
    """Kernels `y[i] = value(x, i)` of 37 numbers."""

    def kernel(value: Value) -> tirx.PrimFunc:
        x = te.placeholder((64,), dtype, name="x")
        return te.create_prim_func([x, te.compute((37,), lambda i: value(x, i), name="y")])

    target = tvm_target(find_target("host"))
    ready = lower_kernels({name: kernel(value) for name, value in values.items()}, target)
    return {name: ready[name].function for name in values}


def numbers_of(call: SharedKernel) -> list[int | float]:
    """The arguments as Python's numbers."""
    return [number.value for number in call.numbers]


def test_only_what_differs_becomes_an_argument_and_once() -> None:
    kernels = lowered(
        {
            "a": lambda x, i: tirx.max(x(i) * 1.5 + 2.0, tirx.const(1.5, "float32")),
            "b": lambda x, i: tirx.max(x(i) * 2.5 + 2.0, tirx.const(2.5, "float32")),
        }
    )
    functions, calls = share_kernels(kernels)
    assert list(functions) == ["a"]
    assert len(functions["a"].params) == len(kernels["a"].params) + 1
    assert {name: call.symbol for name, call in calls.items()} == {"a": "a", "b": "a"}
    assert [numbers_of(call) for call in calls.values()] == [[1.5], [2.5]]


def test_equal_kernels_need_no_arguments() -> None:
    kernels = lowered({"a": lambda x, i: x(i) * 1.5, "b": lambda x, i: x(i) * 1.5})
    functions, calls = share_kernels(kernels)
    assert list(functions) == ["a"] and functions["a"].params == kernels["a"].params
    assert calls == {"a": SharedKernel("a"), "b": SharedKernel("a")}


def test_zero_and_its_negative_are_two_numbers() -> None:
    kernels = lowered({"a": lambda x, i: tirx.max(x(i), 0.0) * -0.0, "b": lambda x, i: tirx.max(x(i), 0.0) * 0.0})
    _, calls = share_kernels(kernels)
    assert [repr(numbers_of(call)) for call in calls.values()] == ["[-0.0]", "[0.0]"]


def test_integers_are_given_in_as_few_bits_as_they_need() -> None:
    kernels = lowered({"a": lambda x, i: x(i) * 300 - 7, "b": lambda x, i: x(i) * 26631 - 100}, "int32")
    functions, _ = share_kernels(kernels)
    assert [str(number.ty.dtype) for number in functions["a"].params[len(kernels["a"].params) :]] == ["int16", "int8"]


@pytest.mark.parametrize(
    ("one", "other", "dtype"),
    [
        (lambda x, i: x(i), lambda x, i: x(i + 1), "float32"),  # places
        (lambda x, i: x(i) * 3.0, lambda x, i: x(i) + 3.0, "float32"),  # operators
        (lambda x, i: x(i) / 3.0, lambda x, i: x(i) / 4.0, "float32"),  # a power of two is a factor to LLVM
        (lambda x, i: tirx.truncdiv(x(i), 3), lambda x, i: tirx.truncdiv(x(i), 5), "int32"),
        (lambda x, i: x(i) >> 3, lambda x, i: x(i) >> 5, "int32"),
    ],
)
def test_kernels_whose_code_differs_stay_apart(one: Value, other: Value, dtype: str) -> None:
    kernels = lowered({"a": one, "b": other}, dtype)
    functions, calls = share_kernels(kernels)
    assert functions == kernels
    assert calls == {"a": SharedKernel("a"), "b": SharedKernel("b")}


@pytest.mark.parametrize(("count", "functions"), [(MOST_ARGUMENTS, 1), (MOST_ARGUMENTS + 1, 2)])
def test_kernels_that_differ_in_many_numbers_stay_apart(count: int, functions: int) -> None:
    def polynomial(first: float) -> Value:
        def value(x: te.Tensor, i: tirx.Var) -> tvm.ir.Expr:
            total = x(i)
            for k in range(count):
                total = total * x(i) + (first + 2 * k)
            return total

        return value

    assert len(share_kernels(lowered({"a": polynomial(0.25), "b": polynomial(0.75)}))[0]) == functions


def test_a_compiled_model_gives_each_call_its_numbers(tmp_path: Path) -> None:
    import torch
    from torch import nn

    class Scales(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            return x / 0.3 + 0.25, x / 0.7 + 2.0, x / 1.1 + 3.0

    x = torch.linspace(-3, 3, 37)
    model = ec.load(Scales().eval(), example_inputs=(x,), name="scales")
    with ec.compile(model, "host", tmp_path / "net") as artifact:
        outputs = artifact.run(x.numpy())
        library = (tmp_path / "net" / artifact.manifest.library).read_bytes()
    for output, (scale, offset) in zip(outputs, ((0.3, 0.25), (0.7, 2.0), (1.1, 3.0)), strict=True):
        expected = x.numpy() / np.float32(scale) + np.float32(offset)
        np.testing.assert_array_max_ulp(output, expected.astype(np.float32), 1)  # LLVM may fuse, PyTorch may invert
    assert len(set(re.findall(rb"scales_\w+_compute\0", library))) == 1
