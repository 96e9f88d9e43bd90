"""Poolings by the template, as the operators define them."""

from __future__ import annotations

from typing import Any

import pytest
from tvm import relax

from tests.passes.layouts.plans import callees, check_numbers, conv, plan


def pooled(operator: Any, *numbers: Any, **options: Any) -> Any:
    def body(builder: Any, x: Any) -> Any:
        y = builder.emit(operator(builder.emit(conv(x, 20)), *numbers, **options))
        return conv(y, 8, 20)

    return body


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("numbers", [(2, 2), (3, 2, 1), ((3, 2), (1, 3), (1, 0, 0, 1)), (2, 2, 1, 2), (3, 4)])
def test_maxima(numbers: Any, ceil_mode: bool) -> None:
    before, after, _ = plan(pooled(relax.op.nn.max_pool2d, *numbers, ceil_mode=ceil_mode))
    assert callees(after) == {"to_blocks": 1, "conv2d": 2, "max_pool": 1, "from_blocks": 1}
    check_numbers(before, after)


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("numbers", [(2, 2), (3, 2, 1), ((3, 2), (1, 3), (1, 0, 0, 1)), (3, 4)])
def test_averages(numbers: Any, ceil_mode: bool, counts: bool) -> None:
    body = pooled(relax.op.nn.avg_pool2d, *numbers, ceil_mode=ceil_mode, count_include_pad=counts)
    before, after, _ = plan(body)
    cuts_windows = counts and ceil_mode and numbers in ((2, 2), (3, 4))
    kernel = "nn.avg_pool2d" if cuts_windows else "average_pool"
    assert callees(after) == {"to_blocks": 1, "conv2d": 2, kernel: 1, "from_blocks": 1}
    check_numbers(before, after)


@pytest.mark.parametrize(("size", "kernel"), [(1, "average_pool"), (3, "average_pool"), (4, "nn.adaptive_avg_pool2d")])
def test_given_sizes(size: int, kernel: str) -> None:
    """Nine pixels in equal windows, or in four that overlap."""
    before, after, _ = plan(pooled(relax.op.nn.adaptive_avg_pool2d, size))
    assert callees(after)[kernel] == 1
    check_numbers(before, after)


@pytest.mark.parametrize("keepdims", [False, True])
def test_means(keepdims: bool) -> None:
    def body(builder: Any, x: Any) -> Any:
        return relax.op.mean(builder.emit(conv(x, 20)), [2, 3], keepdims)

    before, after, _ = plan(body)
    assert callees(after)["average_pool"] == 1
    check_numbers(before, after)
