"""Neighbouring columns of an image as one with more channels: for instructions that take more than a pixel has.

    x [N, 1, H, W, b]             ->   [N, 1, H, W / f, f * b], the same bytes
    weight [K, C, KH, KW]         ->   [K, f * b, KH, ceil((KW + lead) / f)], zeros beside each column and channel
    strides (s, t)                ->   (s, t / f)

`lead` columns of zeros in front of the kernel make its first column begin where one of the folded ones does.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from edgecompile.convolution import Convolution


def folded_columns(problem: Convolution, in_block: int, group: int) -> int:
    """How many columns of `in_block` channels become one of `group`; 1 where they cannot."""
    fold, rest = divmod(group, in_block)
    step = problem.strides[1]
    is_plain = problem.groups == problem.dilations[1] == 1 and problem.in_channels <= in_block
    if fold < 2 or rest or not is_plain or step % fold or problem.width % fold:
        return 1
    return fold if fold_problem(problem, in_block, fold).padding[3] >= 0 else 1


def fold_problem(problem: Convolution, in_block: int, fold: int) -> Convolution:
    """The same convolution of folded columns."""
    top, left, bottom, _ = problem.padding
    lead, step = _lead(problem, fold), problem.strides[1] // fold
    columns, before = math.ceil((problem.kernel[1] + lead) / fold), (left + lead) // fold
    after = (problem.out_width - 1) * step + columns - problem.width // fold - before
    return dataclasses.replace(
        problem,
        in_channels=fold * in_block,
        width=problem.width // fold,
        kernel=(problem.kernel[0], columns),
        strides=(problem.strides[0], step),
        padding=(top, before, bottom, after),
    )


def fold_weight(weight: np.ndarray, problem: Convolution, in_block: int, fold: int) -> np.ndarray:
    """`[K, C, KH, KW]` of any type -> that of `fold_problem(problem, ...)`."""
    out_channels, channels, height, width = weight.shape
    columns, lead = fold_problem(problem, in_block, fold).kernel[1], _lead(problem, fold)
    wide = np.zeros((out_channels, in_block, height, columns * fold), weight.dtype)
    wide[:, :channels, :, lead : lead + width] = weight
    split = wide.reshape(out_channels, in_block, height, columns, fold)
    return np.ascontiguousarray(split.transpose(0, 4, 1, 2, 3)).reshape(out_channels, -1, height, columns)


def _lead(problem: Convolution, fold: int) -> int:
    return -problem.padding[1] % fold
