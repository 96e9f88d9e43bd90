"""Arithmetic of kernels, against numbers counted by hand."""

from __future__ import annotations

import tvm
from tvm import te, tirx

from edgecompile.artifact.kernel_cost import KernelCost, kernel_cost


def product() -> tuple[te.Tensor, te.Tensor, te.Tensor]:
    """x, w and `x @ w`, with 4 x 5 x 6 products."""
    x, w = te.placeholder((4, 5), "float16", "x"), te.placeholder((5, 6), "float32", "w")
    k = te.reduce_axis((0, 5), "k")
    return x, w, te.compute((4, 6), lambda i, j: te.sum(x[i, k].astype("float32") * w[k, j], axis=k), name="product")


def stage(x: te.Tensor, value: object) -> te.Tensor:
    """One elementwise stage over x."""
    return te.compute(x.shape, lambda *indices: value(x[indices]))  # type: ignore[operator]


def test_a_multiply_accumulate_is_two_operations() -> None:
    assert kernel_cost(te.create_prim_func([*product()])) == KernelCost(macs=120, operations=240)


def test_each_stage_of_an_epilogue_is_one_operation_per_element() -> None:
    x, w, y = product()
    biased = stage(y, lambda element: element + tirx.const(1.0, "float32"))
    kernel = te.create_prim_func([x, w, stage(biased, tvm.tirx.exp)])
    assert kernel_cost(kernel) == KernelCost(macs=120, operations=240 + 24 + 24)


def test_a_reduction_without_products_is_one_operation_per_element_read() -> None:
    x, k = te.placeholder((4, 5), "float32", "x"), te.reduce_axis((0, 5), "k")
    largest = te.compute((4,), lambda i: te.max(x[i, k], axis=k))
    assert kernel_cost(te.create_prim_func([x, largest])) == KernelCost(macs=0, operations=20)


def test_moving_data_is_no_arithmetic() -> None:
    x = te.placeholder((4, 5), "float32", "x")
    padded = te.compute(
        (4, 9), lambda i, j: tirx.if_then_else(tirx.all(j >= 2, j < 7), x[i, j - 2], tirx.const(0.0, "float32"))
    )
    turned = te.compute((9, 4), lambda i, j: tirx.Select(i < j, padded[j, i], padded[3 - j, 8 - i]).astype("int32"))
    assert kernel_cost(te.create_prim_func([x, turned])) == KernelCost(macs=0, operations=0)


def test_a_choice_by_data_is_an_operation() -> None:
    x = te.placeholder((4, 5), "float32", "x")
    relu = te.compute((4, 5), lambda i, j: tirx.Select(x[i, j] > 0, x[i, j], tirx.const(0.0, "float32")))
    assert kernel_cost(te.create_prim_func([x, relu])) == KernelCost(macs=0, operations=20)
    scaled = te.compute((4, 5), lambda i, j: tirx.Select(i < j, x[i, j], x[i, j] * x[i, 0]))
    assert kernel_cost(te.create_prim_func([x, scaled])) == KernelCost(macs=0, operations=20)
