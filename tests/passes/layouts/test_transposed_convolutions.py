"""Transposed convolutions in blocks, and what no template takes."""

from __future__ import annotations

from typing import Any

import pytest
from tvm import relax

from tests.passes.layouts.plans import callees, check_numbers, conv, plan, weight


def doubled(out_channels: int, **options: Any) -> Any:
    def body(builder: Any, x: Any) -> Any:
        groups = options.get("groups", 1)
        y = builder.emit(conv(x, 16))
        y = builder.emit(relax.op.nn.conv2d_transpose(y, weight(16, out_channels // groups, 3, 3), **options))
        return conv(builder.emit(relax.op.nn.relu(y)), 8, out_channels)

    return body


@pytest.mark.parametrize("out_channels", [12, 24])
@pytest.mark.parametrize(
    "options",
    [
        {"strides": 2, "padding": 1, "output_padding": 1},
        {"strides": (1, 3), "padding": (0, 1, 2, 0), "dilation": (2, 1)},
        {"strides": (2, 1)},
    ],
)
def test_phases_stay_in_blocks(out_channels: int, options: dict[str, Any]) -> None:
    before, after, _ = plan(doubled(out_channels, **options))
    assert callees(after) == {"to_blocks": 1, "conv2d": 2, "conv2d_transpose": 1, "nn.relu": 1, "from_blocks": 1}
    check_numbers(before, after)


def test_groups_have_no_template() -> None:
    before, after, decisions = plan(doubled(16, strides=2, groups=4))
    assert callees(after)["nn.conv2d_transpose"] == 1
    assert any(decision.reason == "it has groups" for decision in decisions)
    check_numbers(before, after)


def test_weight_of_run_time_has_no_template() -> None:
    def body(builder: Any, x: Any) -> Any:
        kernel = builder.emit(relax.op.reshape(x, (16, 9, 3, 3)))
        return relax.op.nn.conv2d_transpose(x, kernel, 2)

    before, after, decisions = plan(body)
    assert callees(after)["nn.conv2d_transpose"] == 1
    assert any(decision.reason == "its weight is computed at run time" for decision in decisions)
    check_numbers(before, after)
