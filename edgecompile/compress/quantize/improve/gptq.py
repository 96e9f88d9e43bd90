"""GPTQ: weights rounded one term after the other; those that follow make up for each one's error.

Source: E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers", ICLR 2023, algorithm 1; with groups as in its section 4, "Additional tricks".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from edgecompile.compress.quantize.weights import IntegerWeight, WeightForm, WeightGrid

_BLOCK = 128  # columns whose updates of all later columns are done as one product, as in the paper
_DAMPING = 0.01  # of the mean of the diagonal, as in the paper
_MOST_DAMPING = 1.0

ChooseGrid: TypeAlias = "Callable[[np.ndarray, WeightForm, slice], WeightGrid]"
"""(weights `[groups, channels, terms of a run]`, their form, which terms they are) -> the grid of a run of terms."""


def gptq(weight: np.ndarray, form: WeightForm, gram: np.ndarray, choose_grid: ChooseGrid) -> IntegerWeight | None:
    """Integers for which `rows @ real` is near `rows @ weight`.

    All output channels are rounded at once, in the order of the terms. Where several runs of terms have scales of their
    own, those of each run are chosen when it begins, for the weights as the errors before have changed them.

    Args:
        weight: float `[groups, channels, terms]`.
        form: of such a matrix: one scale for all, or one for each channel and run of terms.
        gram: float64 `[groups, terms, terms]`, sums of `row^T row`. Terms that were always zero are rounded to nearest.
        choose_grid: called for each run.

    Returns:
        None where the Gram matrices cannot be inverted however damped.
    """
    factor = _inverse_factor(gram)
    if factor is None:
        return None
    rest = weight.astype(np.float64)
    integers = np.empty(weight.shape, np.int8)
    terms = weight.shape[-1]
    run = terms // form.blocks[-1]
    of_run = dataclasses.replace(form, blocks=(*form.blocks[:-1], 1))
    grids: list[WeightGrid] = []
    for start, stop in _stretches(terms, run):
        errors = np.empty((*rest.shape[:2], stop - start))
        for term in range(start, stop):
            if term % run == 0:
                which = slice(term, term + run)
                grids.append(choose_grid(rest[..., which], of_run, which))
            column = rest[..., term : term + 1]
            integers[..., term : term + 1] = grids[-1].nearest(column)
            difference = (column - grids[-1].real(integers[..., term : term + 1]))[..., 0]
            error = difference / factor[:, term, term][:, None]
            rest[..., term:stop] -= error[..., None] * factor[:, None, term, term:stop]
            errors[..., term - start] = error
        rest[..., stop:] -= errors @ factor[:, start:stop, stop:]
    scales, zero_points = (
        np.concatenate(parts, axis=2)
        for parts in ([grid.scales for grid in grids], [grid.zero_points for grid in grids])
    )
    return IntegerWeight(WeightGrid(form, scales, zero_points), integers)


def _stretches(terms: int, run: int) -> Iterator[tuple[int, int]]:
    """Of at most `_BLOCK` terms; where a run begins, all updates by the terms before its stretch are done.

    A stretch is several whole runs, or a part of one.
    """
    length = _BLOCK // run * run if run < _BLOCK else _BLOCK
    reach = max(length, run)
    for first in range(0, terms, reach):
        end = min(first + reach, terms)
        for start in range(first, end, length):
            yield start, min(start + length, end)


def _inverse_factor(gram: np.ndarray) -> np.ndarray | None:
    """The upper Cholesky factor of the inverse of the damped matrices; terms that are always zero stand alone."""
    diagonal = np.einsum("gii->gi", gram)
    dead = diagonal <= 0
    mean = np.maximum(diagonal.sum(axis=1) / np.maximum((~dead).sum(axis=1), 1), np.finfo(np.float64).tiny)
    damping = _DAMPING
    while damping <= _MOST_DAMPING:
        damped = gram.copy()
        np.einsum("gii->gi", damped)[...] += np.where(dead, 1.0, 0.0) * mean[:, None] + damping * mean[:, None]
        try:
            lower = np.linalg.cholesky(np.linalg.inv(damped / mean[:, None, None]))
        except np.linalg.LinAlgError:
            damping *= 10
            continue
        return np.ascontiguousarray(lower.transpose(0, 2, 1)) if np.isfinite(lower).all() else None
    return None
