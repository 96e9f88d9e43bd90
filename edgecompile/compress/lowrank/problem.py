"""`Problem`: one weight to factorise, and what its inputs are."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from edgecompile.compress.lowrank.shape import LayerShape

DAMPING = 1e-2
"""Of the mean of the Gram matrix' diagonal, added to it: inputs that never occurred still count a little, so that the
matrix can be inverted, and the layer stays near itself for them."""


class Problem:
    """The error of a layer's results is `E[|(W - W') x|^2] = |(W - W') S|^2` with `S S^T = E[x x^T]`.

    Source: P. Chen et al., "DRONE: Data-aware Low-rank Compression for Large NLP Models", NeurIPS 2021; X. Wang et al.,
    "SVD-LLM: Truncation-aware Singular Value Decomposition for Large Language Model Compression", 2024, for the
    Cholesky factor.

    Args:
        shape: of the layer.
        weight: `[outputs, inputs, KH, KW]`.
        gram: float64 `[terms, terms]`, the damped mean of `x x^T` where x are the terms of one sum, ordered as in the
            weight; see `damped`. It may be a file in memory: it is read a few times, and no copy stays. None where all
            errors of the weight count alike.
        held_out: `[rows, terms]`, terms that are not in the Gram matrix, to judge by; None where there are none.
    """

    def __init__(
        self, shape: LayerShape, weight: np.ndarray, gram: np.ndarray | None, held_out: np.ndarray | None = None
    ) -> None:
        self.shape = shape
        self.weight = weight.astype(np.float64)
        self.gram = gram
        self._held_out = held_out

    @property
    def matrix(self) -> np.ndarray:
        """The weight as `[outputs, terms]`."""
        return self.weight.reshape(self.shape.outputs, -1)

    def root(self) -> np.ndarray | None:
        """The lower Cholesky factor S of the Gram matrix; None without one."""
        return None if self.gram is None else np.linalg.cholesky(self.gram)

    @cached_property
    def input_root(self) -> np.ndarray | None:
        """That of the inputs alone, `[inputs, inputs]`, with all taps of the kernel in one sum."""
        if self.gram is None:
            return None
        split = self.gram.reshape(self.shape.inputs, self.shape.taps, self.shape.inputs, self.shape.taps)
        return np.linalg.cholesky(np.einsum("ctdt->cd", split))

    @cached_property
    def column_root(self) -> np.ndarray | None:
        """That of what a kx1 convolution reads, `[inputs * KH, inputs * KH]`."""
        if self.gram is None:
            return None
        height, width = self.shape.kernel
        rows = self.shape.inputs * height
        return np.linalg.cholesky(np.einsum("rjsj->rs", self.gram.reshape(rows, width, rows, width)))

    def _squares(self, matrix: np.ndarray) -> float:
        """Of the results of a matrix `[outputs, terms]`, up to a factor; without data its own."""
        if self._held_out is not None:
            return float(np.square(self._held_out @ matrix.T.astype(np.float32), dtype=np.float64).sum())
        weighted = matrix if self.gram is None else matrix @ self.gram
        return max(float((weighted * matrix).sum()), 0.0)

    def error(self, matrix: np.ndarray) -> float:
        """The squared error of the results by their squares, where the weight were this `[outputs, terms]`.

        It is that on data held out where there are any.
        """
        whole = self._squares(self.matrix)
        return self._squares(self.matrix - matrix) / whole if whole > 0 else 0.0


def damped(gram: np.ndarray, damping: float = DAMPING) -> np.ndarray | None:
    """A Gram matrix of mean diagonal 1 that can be inverted; None where all inputs were zero."""
    mean = float(np.trace(gram)) / len(gram)
    if not mean > 0:
        return None
    found = gram / mean
    np.einsum("ii->i", found)[...] += damping
    return found
