"""`Factors`: the smaller layers that take the place of one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from edgecompile.compress.lowrank.problem import Problem
from edgecompile.compress.lowrank.shape import Pair

_RIDGE = 1e-9  # of the mean square of the features, so that dependent ones can be solved for


@dataclass(frozen=True)
class Factor:
    """One convolution; of a matrix product one of 1x1, which becomes a product again.

    Attributes:
        suffix: of its name, after that of the layer: "_u" is the first, "_core" one between. The last has none: it
            takes the layer's name and place, so that later rules and reports find it.
        weight: float32 `[outputs, inputs / groups, KH, KW]`.
        strides, padding, dilation, groups: as of `relax.nn.conv2d`.
    """

    suffix: str
    weight: np.ndarray
    strides: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Factors:
    """All of them, and what they compute together.

    Attributes:
        inner: all but the last, in order.
        last: its sums are the layer's.
        features: float64 `[last's terms, layer's terms]`: what the last factor reads, in the layer's inputs. So
            `last.weight` as a matrix times this is the weight that they have together.
        error: of the results by their squares, on the data; see `Problem.error`.
    """

    inner: tuple[Factor, ...]
    last: Factor
    features: np.ndarray
    error: float

    @property
    def all(self) -> tuple[Factor, ...]:
        """In order of execution."""
        return (*self.inner, self.last)


def make_factors(problem: Problem, inner: tuple[Factor, ...], last: Factor, features: np.ndarray) -> Factors:
    """Factors whose last weight is the best one for the others: least squares on what it reads.

    It is `last + (W - last F) G F^T (F G F^T)^-1` with the Gram matrix G, the identity where there is none, and F the
    features: the error of the results can only fall.
    """
    weight = last.weight.reshape(len(last.weight), -1).astype(np.float64)
    weighted = features if problem.gram is None else features @ problem.gram
    normal = weighted @ features.T
    normal[np.diag_indices_from(normal)] += _RIDGE * np.trace(normal) / len(normal) + np.finfo(np.float64).tiny
    difference = problem.matrix - weight @ features
    weight = weight + np.linalg.solve(normal, weighted @ difference.T).T
    last = dataclasses.replace(last, weight=weight.reshape(last.weight.shape).astype(np.float32))
    return Factors(inner, last, features, problem.error(weight @ features))
