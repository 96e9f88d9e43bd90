"""Planning layouts: what is rewritten, what is left alone, and that the numbers stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tvm import relax

from edgecompile.decision import Decision
from edgecompile.frontend.model import TensorSpec
from edgecompile.passes.layouts import PlanLayouts
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from tests.passes.layouts.plans import X, callees, check_numbers, conv, plan, weight
from tests.relax_models import constant, make_model


def residual_block(builder: Any, x: Any) -> Any:
    first = builder.emit(relax.op.nn.relu(builder.emit(relax.op.add(builder.emit(conv(x, 16)), weight(1, 16, 1, 1)))))
    second = builder.emit(relax.op.add(builder.emit(conv(first, 16)), first))
    return relax.op.nn.relu(second)


def test_no_conversion_inside_a_residual_block() -> None:
    before, after, decisions = plan(residual_block)
    assert callees(after) == {"to_blocks": 1, "conv2d": 2, "add": 2, "nn.relu": 2, "from_blocks": 1}
    assert [decision.kept for decision in decisions] == [True, True, True]
    assert "0 conversions" not in decisions[-1].reason
    check_numbers(before, after)


def scale_by_gate(builder: Any, x: Any) -> Any:
    """Squeeze and excitation: a value per channel, computed at run time."""
    y = builder.emit(conv(x, 24))
    gate = builder.emit(relax.op.mean(y, [2, 3], keepdims=True))
    gate = builder.emit(relax.op.sigmoid(builder.emit(conv(gate, 24, 24, 1))))
    return relax.op.multiply(y, gate)


def pooled(builder: Any, x: Any) -> Any:
    y = builder.emit(relax.op.nn.max_pool2d(builder.emit(conv(x, 32)), 3, 2, 1))
    y = builder.emit(relax.op.nn.avg_pool2d(builder.emit(conv(y, 8, 32)), 2, 2, count_include_pad=True))
    return relax.op.nn.adaptive_avg_pool2d(y, 1)


def read_both_ways(builder: Any, x: Any) -> list[Any]:
    y = builder.emit(conv(x, 16))
    return [relax.op.nn.relu(y), relax.op.permute_dims(y, [0, 2, 3, 1]), relax.op.nn.softmax(y, 1)]


def mixed_operands(builder: Any, x: Any) -> Any:
    """Operands of all the shapes that broadcast: numbers, one channel, all channels, no batch."""
    y = builder.emit(conv(x, 20))
    mask = builder.emit(relax.op.mean(x, [1], keepdims=True))
    for other in (constant(np.float32(3)), weight(20, 1, 1), weight(1, 1, 9, 9), weight(20, 9, 9), weight(9), mask):
        y = builder.emit(relax.op.multiply(y, other))
    return relax.op.subtract(constant(np.float32(1)), y)


def head(builder: Any, x: Any) -> Any:
    y = builder.emit(relax.op.mean(builder.emit(conv(x, 32)), [2, 3], keepdims=True))
    y = builder.emit(relax.op.reshape(y, (1, 32)))
    return relax.op.add(builder.emit(relax.op.matmul(y, weight(32, 10))), weight(10))


@pytest.mark.parametrize("body", [scale_by_gate, pooled, read_both_ways, mixed_operands, head])
def test_numbers_stay(body: Callable[..., Any]) -> None:
    before, after, decisions = plan(body)
    assert any(decision.kept for decision in decisions)
    check_numbers(before, after)


def flat_head(builder: Any, x: Any) -> Any:
    y = builder.emit(relax.op.mean(builder.emit(conv(x, 32)), [-1, -2]))
    return relax.op.matmul(y, weight(32, 10))


@pytest.mark.parametrize("body", [head, flat_head])
def test_a_head_needs_no_conversion(body: Callable[..., Any]) -> None:
    before, after, _ = plan(body)
    assert callees(after)["from_blocks"] == 0
    check_numbers(before, after)


def test_few_channels_are_read_as_they_are() -> None:
    before, after, _ = plan(lambda _, x: conv(x, 16, 3), TensorSpec("x", (1, 3, 9, 9), "float32"))
    assert callees(after) == {"conv2d": 1, "from_blocks": 1}
    check_numbers(before, after)


def test_products_of_matrices() -> None:
    before, after, _ = plan(lambda _, x: relax.op.matmul(x, weight(24, 40)), TensorSpec("x", (2, 3, 5, 24), "float32"))
    assert callees(after) == {"matmul": 1}
    check_numbers(before, after)


def test_a_tensor_times_itself() -> None:
    before, after, _ = plan(lambda _, x: relax.op.matmul(x, x), TensorSpec("x", (2, 7, 7), "float32"))
    assert callees(after) == {"batch_matmul": 1}
    check_numbers(before, after)


def test_broadcast_products_are_left_alone() -> None:
    w = TensorSpec("w", (1, 5, 3), "float32")
    _, after, decisions = plan(lambda _, x, w: relax.op.matmul(x, w), TensorSpec("x", (2, 7, 5), "float32"), w)
    assert callees(after) == {"matmul": 1}
    assert not decisions[0].kept


def test_equal_kernels_are_one_function() -> None:
    def body(builder: Any, x: Any) -> Any:
        return conv(builder.emit(conv(builder.emit(conv(x, 16)), 16)), 16)

    _, after, _ = plan(body)
    functions = [variable.name_hint for variable in after.get_global_vars() if "conv2d" in variable.name_hint]
    assert callees(after)["conv2d"] == 3
    assert functions == ["conv2d"]


def test_left_alone() -> None:
    w = TensorSpec("w", (16, 16, 3, 3), "float32")
    _, after, decisions = plan(lambda _, x, w: relax.op.nn.conv2d(x, w), X, w)
    assert callees(after) == {"nn.conv2d": 1}
    assert decisions == [Decision("PlanLayouts", decisions[0].subject, False, "its weight is computed at run time")]
    _, after, decisions = plan(lambda _, x: conv(x, 16), TensorSpec("x", ("n", 16, 9, 9), "float32"))
    assert callees(after) == {"nn.conv2d": 1}
    assert decisions[0].reason == "it is not float32 of static shape"


def test_the_module_is_not_changed_in_place() -> None:
    before = make_model((X,), residual_block, ()).module
    text = before.script()
    PlanLayouts(CpuImplementations(find_target("host").cpu))(before, [])
    assert before.script() == text
