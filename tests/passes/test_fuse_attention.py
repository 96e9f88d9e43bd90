"""Fusing attention: the forms that frontends make, what stays apart, and that the numbers stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.decision import Decision
from edgecompile.frontend.model import TensorSpec
from edgecompile.passes import eliminate_dead_code
from edgecompile.passes.fuse_attention import FuseAttention
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from tests.relax_models import constant, make_model, run_virtual_machine

HEADS, TOKENS, WIDTH = 4, 32, 16
PLAIN = (1, HEADS, TOKENS, WIDTH)
ROWS = (1, TOKENS, HEADS * WIDTH)
RNG = np.random.default_rng(0)
op = relax.op

Body = Callable[..., Any]


def fuse(body: Body, *shapes: tuple[int, ...]) -> tuple[tvm.IRModule, tvm.IRModule, list[Decision]]:
    """The module before and after, and what was decided."""
    specs = [TensorSpec(f"x{at}", shape, "float32") for at, shape in enumerate(shapes)]
    before = make_model(specs, body, ()).module
    decisions: list[Decision] = []
    after = FuseAttention(CpuImplementations(find_target("host").cpu))(before, decisions)
    return before, eliminate_dead_code()(after, decisions), decisions


def callees(module: tvm.IRModule) -> Counter[str]:
    calls = [binding.value for block in module["main"].body.blocks for binding in block.bindings]
    return Counter(
        str(call.args[0].name_hint) if call.op.name == "relax.call_tir" else call.op.name.removeprefix("relax.")
        for call in calls
        if isinstance(call, relax.Call)
    )


def check_numbers(before: tvm.IRModule, after: tvm.IRModule) -> None:
    relax.analysis.well_formed(after)
    shapes = [[int(n) for n in parameter.ty.shape] for parameter in before["main"].params]
    arrays = [RNG.standard_normal(shape).astype(np.float32) for shape in shapes]
    for got, want in zip(run_virtual_machine(after, *arrays), run_virtual_machine(before, *arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def heads_of(b: relax.BlockBuilder, x: relax.Expr) -> relax.Expr:
    return b.emit(op.permute_dims(b.emit(op.reshape(x, (1, TOKENS, HEADS, WIDTH))), [0, 2, 1, 3]))


def transposed(b: relax.BlockBuilder, x: relax.Expr) -> relax.Expr:
    return b.emit(op.permute_dims(x, [0, 1, 3, 2]))


def attention(b: relax.BlockBuilder, scores: relax.Expr, v: relax.Expr) -> relax.Expr:
    return b.emit(op.matmul(b.emit(op.nn.softmax(scores)), v))


def rows_of(b: relax.BlockBuilder, y: relax.Expr) -> relax.Expr:
    return b.emit(op.reshape(b.emit(op.permute_dims(y, [0, 2, 1, 3])), ROWS))


def plain(b: relax.BlockBuilder, q: relax.Var, k: relax.Var, v: relax.Var) -> relax.Expr:
    return attention(b, b.emit(op.matmul(q, k)), v)


def like_bert(b: relax.BlockBuilder, q: relax.Var, k: relax.Var, v: relax.Var) -> relax.Expr:
    query = b.emit(op.multiply(heads_of(b, q), constant(np.float32(0.25))))
    scores = b.emit(op.matmul(query, transposed(b, heads_of(b, k))))
    mask = constant(RNG.random((1, 1, 1, TOKENS)) < 0.5)
    scores = b.emit(op.where(mask, scores, constant(np.float32(-np.inf))))
    return op.nn.relu(rows_of(b, attention(b, scores, heads_of(b, v))))


def like_vit(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
    parts = b.emit(op.permute_dims(b.emit(op.reshape(x, (1, TOKENS, 3, HEADS, WIDTH))), [2, 0, 3, 1, 4]))
    parts = b.emit(op.split(parts, 3, axis=0))
    q, k, v = (b.emit(op.squeeze(b.emit(parts[at]), [0])) for at in range(3))
    query = b.emit(op.multiply(q, constant(np.float32(0.25))))
    return rows_of(b, attention(b, b.emit(op.matmul(query, transposed(b, k))), v))


def like_onnx(b: relax.BlockBuilder, q: relax.Var, k: relax.Var, v: relax.Var) -> relax.Expr:
    half = constant(np.float32(0.5))
    query = b.emit(op.multiply(heads_of(b, q), half))
    key = b.emit(op.multiply(transposed(b, heads_of(b, k)), half))
    scores = b.emit(op.divide(b.emit(op.matmul(query, key)), constant(np.float32([3.0]))))
    scores = b.emit(op.add(constant(RNG.standard_normal((TOKENS, TOKENS)).astype(np.float32)), scores))
    future = constant(~np.tri(TOKENS, dtype=bool))
    scores = b.emit(op.where(future, constant(np.float32(-1e9)), scores))
    return rows_of(b, attention(b, scores, heads_of(b, v)))


@pytest.mark.parametrize(
    ("body", "shapes", "left"),
    [
        (plain, [PLAIN, (1, HEADS, WIDTH, TOKENS), PLAIN], {"attention": 1, "reshape": 4}),
        (like_bert, [ROWS] * 3, {"attention": 1, "reshape": 4, "nn.relu": 1}),
        (like_vit, [(1, TOKENS, 3 * HEADS * WIDTH)], {"attention": 1, "reshape": 2}),
        (like_onnx, [ROWS] * 3, {"attention": 1, "reshape": 4}),
    ],
)
def test_one_kernel_takes_everything(body: Body, shapes: list[tuple[int, ...]], left: dict[str, int]) -> None:
    before, after, decisions = fuse(body, *shapes)
    assert callees(after) == left
    assert [decision.kept for decision in decisions] == [True]
    check_numbers(before, after)


def read_twice(b: relax.BlockBuilder, q: relax.Var, k: relax.Var, v: relax.Var) -> list[relax.Expr]:
    weights = b.emit(op.nn.softmax(b.emit(op.matmul(q, k))))
    return [b.emit(op.matmul(weights, v)), weights]


def other_axis(b: relax.BlockBuilder, q: relax.Var, k: relax.Var, v: relax.Var) -> relax.Expr:
    return op.matmul(b.emit(op.nn.softmax(b.emit(op.matmul(q, k)), axis=2)), v)


def capped(b: relax.BlockBuilder, q: relax.Var, k: relax.Var, v: relax.Var) -> relax.Expr:
    return attention(b, b.emit(op.tanh(b.emit(op.matmul(q, k)))), v)


@pytest.mark.parametrize("body", [read_twice, other_axis, capped])
def test_what_is_no_attention_stays(body: Body) -> None:
    before, after, decisions = fuse(body, PLAIN, (1, HEADS, WIDTH, TOKENS), PLAIN)
    tvm.ir.assert_structural_equal(before, after)
    assert not decisions


def test_a_transpose_that_others_read_stays_with_them() -> None:
    def body(b: relax.BlockBuilder, q: relax.Var, k: relax.Var, v: relax.Var) -> list[relax.Expr]:
        values = heads_of(b, v)
        scores = b.emit(op.matmul(heads_of(b, q), transposed(b, heads_of(b, k))))
        y = attention(b, scores, values)
        return [y, b.emit(op.nn.relu(values)), rows_of(b, y)]

    before, after, _ = fuse(body, ROWS, ROWS, ROWS)
    assert callees(after) == {"attention": 1, "reshape": 6, "permute_dims": 2, "nn.relu": 1}
    check_numbers(before, after)


def test_a_dear_kernel_is_not_used() -> None:
    shapes = [(1, 1, 2, 4), (1, 1, 4, 70_000), (1, 1, 70_000, 4)]
    before, after, (decision,) = fuse(plain, *shapes)
    assert callees(before) == callees(after)
    assert (decision.step, decision.kept) == ("FuseAttention", False)
    assert decision.reason == "separate kernels are estimated as cheaper"
