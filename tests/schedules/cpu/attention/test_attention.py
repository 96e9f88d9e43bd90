"""Attention in one kernel against NumPy in float64: odd sizes, strides, masks, and what a mask may leave of a row."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from edgecompile.attention import Attention, Placed, ScoreStep
from edgecompile.passes.strided_view import StridedView
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations, Template
from schedules.cpu.attention.config import MOST_STACK_BYTES, AttentionConfig
from schedules.cpu.attention.formula import attend
from schedules.cpu.implementations import ATTENTION, EMITTERS
from schedules.cpu.polynomials import use_polynomials
from schedules.cpu.template import attributes
from targets.cpu.object_code import tvm_target

TARGETS = ["host,num_cores=1", "host,num_cores=2,vector_bytes=16,vector_registers=16"]
RNG = np.random.default_rng(0)


def problem_of(
    batch: tuple[int, int], rows: int, keys: int, width: int, value_width: int, steps: tuple[ScoreStep, ...] = ()
) -> Attention:
    """An attention as frameworks write it: queries, keys and values are `[batch, rows, heads, width]`, transposed."""
    images, heads = batch

    def place(argument: int, extent: int, columns: int, axes: tuple[int, ...]) -> Placed:
        view = StridedView.contiguous((images, extent, heads, columns)).permuted(axes)
        return Placed(argument, view.offset, view.strides)

    operands = sum(step.operand is not None for step in steps)
    return Attention(
        batch=batch,
        rows=rows,
        keys=keys,
        width=width,
        value_width=value_width,
        query=place(0, rows, width, (0, 2, 1, 3)),
        key=place(1, keys, width, (0, 2, 3, 1)),
        value=place(2 + operands, keys, value_width, (0, 2, 1, 3)),
        steps=steps,
        result=place(0, rows, value_width, (0, 2, 1, 3)).strides,
    )


def run(problem: Attention, target_name: str, arrays: list[np.ndarray]) -> np.ndarray:
    """`[images, rows, heads, value_width]` by the template's loops."""
    target = find_target(target_name)
    config = AttentionConfig.choose(problem, target.cpu)
    assert config is not None
    notes = attributes(ATTENTION, {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)})
    given = [te.placeholder([tirx.IntImm("int64", a.size)], str(a.dtype), f"argument{i}") for i, a in enumerate(arrays)]
    function = te.create_prim_func([*given, attend(problem, notes, given)]).with_attr("tirx.noalias", True)
    schedule = Template(EMITTERS).apply(function.with_attr("global_symbol", "main"), target)
    assert schedule is not None
    function = schedule.mod["main"]
    function = function.with_body(use_polynomials(function.body))
    images, heads, rows, columns = problem.result_shape
    out = np.full(images * heads * rows * columns, np.nan, np.float32)
    tensors = [tvm.runtime.tensor(array) for array in (*(a.reshape(-1) for a in arrays), out)]
    tvm.compile(tvm.IRModule({"main": function}), target=tvm_target(target))["main"](*tensors)
    return tensors[-1].numpy().reshape(images, rows, heads, columns)


def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray, change: object = None) -> np.ndarray:
    """The same in float64; `change` takes the scores."""
    scores = np.einsum("bmhd,bnhd->bhmn", q.astype(np.float64), k.astype(np.float64))
    scores = change(scores) if callable(change) else scores
    weights = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), np.finfo(np.float32).min))
    with np.errstate(invalid="ignore"):
        weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhmn,bnhd->bmhd", weights, v.astype(np.float64))


def random(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


SIZES = [
    ((2, 3), 1, 1, 1, 1),
    ((1, 3), 7, 13, 5, 9),
    ((2, 2), 17, 31, 16, 16),
    ((1, 1), 50, 50, 31, 33),
    ((1, 5), 13, 64, 64, 64),
    ((1, 2), 97, 197, 24, 40),
]


@pytest.mark.parametrize("target_name", TARGETS)
@pytest.mark.parametrize(("batch", "rows", "keys", "width", "value_width"), SIZES)
def test_odd_sizes(
    batch: tuple[int, int], rows: int, keys: int, width: int, value_width: int, target_name: str
) -> None:
    images, heads = batch
    q, k = random(images, rows, heads, width), random(images, keys, heads, width)
    v = random(images, keys, heads, value_width)
    scale = 1 / math.sqrt(width)
    problem = problem_of(batch, rows, keys, width, value_width, (ScoreStep("scale", scale),))
    found = run(problem, target_name, [q, k, v])
    # Weights err by as many roundings as the scores are large, the scaled ones up to five.
    np.testing.assert_allclose(found, reference(q, k, v, lambda scores: scores * scale), rtol=0, atol=2e-6)


@pytest.mark.parametrize("target_name", TARGETS)
def test_steps_in_order(target_name: str) -> None:
    images, heads, rows, keys = 2, 3, 11, 19
    mask, bias = RNG.random((images, 1, 1, keys)) < 0.7, random(heads, rows, keys)
    causal = ~np.tri(rows, keys, 8, dtype=bool)
    mask_view, bias_view, causal_view = (
        StridedView.contiguous(a.shape).broadcast((images, heads, rows, keys)) for a in (mask, bias, causal)
    )
    steps = (
        ScoreStep("scale", 0.25),
        ScoreStep("add", operand=Placed(2, 0, bias_view.strides)),
        ScoreStep("where", -math.inf, Placed(3, 0, mask_view.strides)),
        ScoreStep("unless", -math.inf, Placed(4, 0, causal_view.strides)),
    )
    q, k, v = random(images, rows, heads, 8), random(images, keys, heads, 8), random(images, keys, heads, 8)
    found = run(problem_of((images, heads), rows, keys, 8, 8, steps), target_name, [q, k, bias, mask, causal, v])

    def change(scores: np.ndarray) -> np.ndarray:
        return np.where(causal, -np.inf, np.where(mask, scores * 0.25 + bias, -np.inf))

    np.testing.assert_allclose(found, reference(q, k, v, change), rtol=0, atol=5e-6)


@pytest.mark.parametrize("target_name", TARGETS)
def test_a_row_without_keys_is_nan_and_one_nan_spoils_its_row_only(target_name: str) -> None:
    rows, keys = 9, 21
    mask = np.ones((rows, keys), bool)
    mask[3], mask[5, :20] = False, False
    q, k, v = random(1, rows, 1, 8), random(1, keys, 1, 8), random(1, keys, 1, 8)
    q[0, 7, 0, 2] = np.nan
    steps = (ScoreStep("where", -math.inf, Placed(2, 0, (0, 0, keys, 1))),)
    found = run(problem_of((1, 1), rows, keys, 8, 8, steps), target_name, [q, k, mask, v])[0, :, 0]
    expected = reference(q, k, v, lambda scores: np.where(mask, scores, -np.inf))[0, :, 0]
    assert np.isnan(found[[3, 7]]).all()
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)
    np.testing.assert_allclose(found[5], v[0, 20, 0], rtol=1e-6)


@pytest.mark.parametrize("target_name", TARGETS)
def test_a_row_without_keys_is_zero_where_the_model_says_so(target_name: str) -> None:
    rows, keys = 9, 21
    mask = np.ones((rows, keys), bool)
    mask[3] = False
    q, k, v = random(1, rows, 1, 8), random(1, keys, 1, 8), random(1, keys, 1, 8)
    q[0, 7, 0, 2] = np.nan
    steps = (ScoreStep("where", -math.inf, Placed(2, 0, (0, 0, keys, 1))),)
    problem = dataclasses.replace(problem_of((1, 1), rows, keys, 8, 8, steps), nan_is_zero=True)
    found = run(problem, target_name, [q, k, mask, v])[0, :, 0]
    expected = reference(q, k, v, lambda scores: np.where(mask, scores, -np.inf))[0, :, 0]
    expected[[3, 7]] = 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


def test_what_does_not_fit_the_stack_is_packed_in_the_arena() -> None:
    keys, width = 700, 40
    assert 2 * keys * width * 4 > MOST_STACK_BYTES
    q, k, v = random(1, 5, 2, width) / 8, random(1, keys, 2, width), random(1, keys, 2, width)
    found = run(problem_of((1, 2), 5, keys, width, width), TARGETS[0], [q, k, v])
    np.testing.assert_allclose(found, reference(q, k, v), rtol=0, atol=2e-6)


def test_scores_that_no_stack_holds_are_refused() -> None:
    implementations = CpuImplementations(find_target("host").cpu)
    assert not implementations.attentions(problem_of((1, 12), 64, 100_000, 64, 64))
    assert implementations.attentions(problem_of((1, 12), 128, 128, 64, 64))
