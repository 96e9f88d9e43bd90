"""Singular value decomposition of the weight as a matrix: of a matrix product, a 1x1 and a kxk convolution.

`W x = U (U^T W) x` with the leading left singular vectors U of `W S`: of all matrices of that rank it has the least
error of the results (see `Problem` for S). It is the solution of DRONE without its inverse of S, since
`U_r U_r^T W S` is the truncated `W S`.

Sources: E. Denton et al., "Exploiting Linear Structure Within Convolutional Networks for Efficient Evaluation", NIPS
2014; of the kxk convolution X. Zhang et al., "Accelerating Very Deep Convolutional Networks for Classification and
Detection", TPAMI 2016, its linear case.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from edgecompile.compress.lowrank.factors import Factor, Factors, make_factors
from edgecompile.compress.lowrank.methods.method import Ranks
from edgecompile.compress.lowrank.methods.spectral import SpectralMethod
from edgecompile.compress.lowrank.shape import LayerShape


class Channel(SpectralMethod):
    """conv `[K, C, kh, kw]` -> conv `[r, C, kh, kw]`, 1x1 `[K, r]`."""

    name = "channel"

    @classmethod
    def highest(cls, shape: LayerShape) -> Ranks:
        """See `Method`."""
        return (min(shape.outputs, shape.terms),)

    @classmethod
    def params(cls, shape: LayerShape, ranks: Ranks) -> int:
        """See `Method`."""
        return ranks[0] * (shape.terms + shape.outputs)

    @classmethod
    def macs(cls, shape: LayerShape, ranks: Ranks) -> int:
        """See `Method`."""
        return cls.params(shape, ranks) * shape.result_places

    @cached_property
    def _decomposed(self) -> tuple[np.ndarray, np.ndarray]:
        """Left singular vectors in columns, and singular values."""
        root, matrix = self.problem.root(), self.problem.matrix
        left, values, _ = np.linalg.svd(matrix if root is None else matrix @ root, full_matrices=False)
        return left, values

    @cached_property
    def spectra(self) -> tuple[np.ndarray, ...]:
        """See `SpectralMethod`."""
        return (np.square(self._decomposed[1]),)

    @cached_property
    def unfoldings(self) -> tuple[np.ndarray, ...]:
        """See `SpectralMethod`."""
        return (self.problem.matrix,)

    def factors(self, ranks: Ranks) -> Factors:
        """See `Method`."""
        (rank,), shape = ranks, self.problem.shape
        left = self._decomposed[0][:, :rank]
        features = left.T @ self.problem.matrix
        kernel = features.reshape(rank, shape.inputs, *shape.kernel).astype(np.float32)
        first = Factor("_u", kernel, shape.strides, shape.padding, shape.dilation)
        return make_factors(self.problem, (first,), Factor("", left[:, :, None, None]), features)


class Svd(Channel):
    """matmul `[C, K]` -> matmul `[C, r]`, matmul `[r, K]`; a 1x1 convolution likewise."""

    name = "svd"
