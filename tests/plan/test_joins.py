"""Concatenations that need no kernel, and those that do."""

from __future__ import annotations

from typing import Any

import pytest
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.plan import ExecutionPlan
from tests.plan.test_build import plan_of
from tests.relax_models import make_model

X = TensorSpec("x", (1, 16, 4), "float32")
PART_BYTES = 16 * 4 * 4


def kernel(builder: Any, x: Any) -> Any:
    """A kernel that nothing is fused with."""
    return builder.emit(relax.op.nn.softmax(x))


def plan(body: Any) -> ExecutionPlan:
    return plan_of(make_model([X], body, [TensorSpec("y", (), "float32")]))


def offsets(plan: ExecutionPlan) -> list[int]:
    """Where in the arena each call writes; -1 for an output."""
    return [call.operands[-1].position if call.operands[-1].space == "arena" else -1 for call in plan.calls]


def test_parts_are_written_side_by_side() -> None:
    def body(builder: Any, x: Any) -> Any:
        first, second = kernel(builder, x), kernel(builder, kernel(builder, x))
        return kernel(builder, builder.emit(relax.op.concat([first, second], axis=1)))

    found = plan(body)
    assert not any("concat" in operator for call in found.calls for operator in call.operators)
    whole = found.calls[-1].operands[0]
    assert whole.size_bytes == 2 * PART_BYTES
    assert {whole.position, whole.position + PART_BYTES} <= set(offsets(found))


def test_joins_of_joins() -> None:
    def body(builder: Any, x: Any) -> Any:
        y = kernel(builder, x)
        for _ in range(3):
            fresh = kernel(builder, builder.emit(relax.op.strided_slice(y, [1], [0], [16])))
            y = builder.emit(relax.op.concat([y, fresh], axis=1))
        return kernel(builder, y)

    found = plan(body)
    assert not any("concat" in operator for call in found.calls for operator in call.operators)
    assert found.calls[-1].operands[0].size_bytes == 4 * PART_BYTES


@pytest.mark.parametrize("case", ["input", "twice", "inner axis", "output", "odd bytes", "two joins"])
def test_what_must_be_copied(case: str) -> None:
    def body(builder: Any, x: Any) -> Any:
        first, second = kernel(builder, x), kernel(builder, kernel(builder, x))
        if case == "input":
            return kernel(builder, builder.emit(relax.op.concat([x, second], axis=1)))
        if case == "twice":
            return kernel(builder, builder.emit(relax.op.concat([first, first], axis=1)))
        if case == "inner axis":
            return kernel(builder, builder.emit(relax.op.concat([first, second], axis=2)))
        if case == "output":
            return relax.op.concat([first, second], axis=1)
        if case == "odd bytes":
            short = kernel(builder, builder.emit(relax.op.strided_slice(first, [1], [0], [3])))
            return kernel(builder, builder.emit(relax.op.concat([short, second], axis=1)))
        once = kernel(builder, builder.emit(relax.op.concat([first, second], axis=1)))
        again = kernel(builder, builder.emit(relax.op.concat([second, first], axis=1)))
        return builder.emit(relax.op.add(once, again))

    copies = [call for call in plan(body).calls if any("concat" in operator for operator in call.operators)]
    assert len(copies) == 1
