"""Attention as a formula; its blocks are annotated, so that the template's loops take its place."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgecompile.attention import Attention, Placed, ScoreStep

from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr


def address(place: Placed | Sequence[int], indices: Sequence[Expr]) -> Expr:
    """Where an element lies in its argument's memory."""
    strides = place.strides if isinstance(place, Placed) else place
    result = loops.index(place.offset if isinstance(place, Placed) else 0)
    for stride, index in zip(strides, indices, strict=True):
        if stride:
            result = result + index * stride
    return result


def step_of(step: ScoreStep, score: Expr, operand: Expr | None) -> Expr:
    """A score after one step."""
    from tvm import tirx

    if step.kind == "scale":
        return score * tirx.const(step.number, "float32")
    assert operand is not None
    if step.kind == "add":
        return score + operand
    number = tirx.const(step.number, "float32")
    return tirx.Select(operand, score, number) if step.kind == "where" else tirx.Select(operand, number, score)


def attend(problem: Attention, notes: Mapping[str, str], arguments: Sequence[te.Tensor]) -> te.Tensor:
    """The result's memory, `[elements] float32`; every argument is `[elements]` too.

    The arguments stand in the order of their first use: query, key, operands of the steps, value.
    """
    from tvm import te, tirx

    scores_shape = [loops.index(n) for n in (*problem.batch, problem.rows, problem.keys)]

    def read(place: Placed, indices: Sequence[Expr]) -> Expr:
        return arguments[place.argument](address(place, indices))

    def score(*indices: tirx.Var) -> Expr:
        *batch, row, column = indices
        return te.sum(
            read(problem.query, [*batch, row, k]) * read(problem.key, [*batch, k, column]),
            axis=[k],
        )

    def after(scores: te.Tensor, step: ScoreStep) -> te.Tensor:
        # A stage of its own, so that its operand is read first in it: the template counts arguments in that order.
        def value(*indices: tirx.Var) -> Expr:
            return step_of(step, scores(*indices), read(step.operand, indices) if step.operand else None)

        return te.compute(scores_shape, value, name=step.kind, attrs=notes)

    k = te.reduce_axis((loops.index(0), loops.index(problem.width)), "k")
    scores = te.compute(scores_shape, score, name="scores", attrs=notes)
    steps = functools.reduce(after, problem.steps, scores)
    by_key = te.reduce_axis((loops.index(0), loops.index(problem.keys)), "key")
    highest = te.compute(
        scores_shape[:-1], lambda *row: te.max(steps(*row, by_key), axis=[by_key]), name="highest", attrs=notes
    )
    weights = te.compute(scores_shape, lambda *i: tirx.exp(steps(*i) - highest(*i[:-1])), name="weights", attrs=notes)
    total = te.compute(
        scores_shape[:-1], lambda *row: te.sum(weights(*row, by_key), axis=[by_key]), name="total", attrs=notes
    )

    def mix(*indices: tirx.Var) -> Expr:
        *row, column = indices
        value = read(problem.value, [*row[:-1], by_key, column])
        return te.sum(weights(*row, by_key) * value, axis=[by_key])

    mixed = te.compute([loops.index(n) for n in problem.result_shape], mix, name="mixed", attrs=notes)

    def place(index: tirx.Var) -> Expr:
        indices = _indices_at(index, problem)
        share = mixed(*indices) / total(*indices[:-1])
        return (
            tirx.Select(total(*indices[:-1]) > 0, share, tirx.const(0.0, "float32")) if problem.nan_is_zero else share
        )

    size = loops.index(math.prod(problem.result_shape))
    return te.compute([size], place, name="attention", attrs=notes)


def _indices_at(index: Expr, problem: Attention) -> list[Expr]:
    """The element of the result that lies at `index`."""
    return [
        index // stride % extent if extent != 1 else loops.index(0)
        for stride, extent in zip(problem.result, problem.result_shape, strict=True)
    ]
