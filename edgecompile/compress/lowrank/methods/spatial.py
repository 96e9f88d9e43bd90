"""Spatial singular value decomposition: a kxk convolution as one along columns, then one along rows.

Source: M. Jaderberg, A. Vedaldi, A. Zisserman, "Speeding up Convolutional Neural Networks with Low Rank Expansions",
BMVC 2014, scheme 2; solved in one decomposition as by C. Tai et al., "Convolutional Neural Networks with Low-rank
Regularization", ICLR 2016.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from edgecompile.compress.lowrank.factors import Factor, Factors, make_factors
from edgecompile.compress.lowrank.methods.method import Ranks
from edgecompile.compress.lowrank.methods.spectral import SpectralMethod
from edgecompile.compress.lowrank.shape import LayerShape


class Spatial(SpectralMethod):
    """conv `[K, C, kh, kw]` -> kx1 `[r, C, kh, 1]`, 1xk `[K, r, 1, kw]`.

    The first takes the strides, padding and dilation of the rows, the second those of the columns. The error of the
    results is minimised as if inputs at different columns of the kernel were independent; the second factor is then
    fitted to what they are.
    """

    name = "spatial"

    @classmethod
    def highest(cls, shape: LayerShape) -> Ranks:
        """See `Method`."""
        return (min(shape.inputs * shape.kernel[0], shape.outputs * shape.kernel[1]),)

    @classmethod
    def params(cls, shape: LayerShape, ranks: Ranks) -> int:
        """See `Method`."""
        return ranks[0] * (shape.inputs * shape.kernel[0] + shape.outputs * shape.kernel[1])

    @classmethod
    def macs(cls, shape: LayerShape, ranks: Ranks) -> int:
        """See `Method`."""
        first = shape.inputs * shape.kernel[0] * shape.column_places
        return ranks[0] * (first + shape.outputs * shape.kernel[1] * shape.result_places)

    @cached_property
    def unfoldings(self) -> tuple[np.ndarray, ...]:
        """`[inputs * KH, outputs * KW]`."""
        shape = self.problem.shape
        turned = self.problem.weight.transpose(1, 2, 0, 3)
        return (turned.reshape(shape.inputs * shape.kernel[0], shape.outputs * shape.kernel[1]),)

    @cached_property
    def _decomposed(self) -> tuple[np.ndarray, np.ndarray]:
        """Singular values, and right singular vectors in rows."""
        root, (matrix,) = self.problem.column_root, self.unfoldings
        _, values, right = np.linalg.svd(matrix if root is None else root.T @ matrix, full_matrices=False)
        return values, right

    @cached_property
    def spectra(self) -> tuple[np.ndarray, ...]:
        """See `SpectralMethod`."""
        return (np.square(self._decomposed[0]),)

    def factors(self, ranks: Ranks) -> Factors:
        """See `Method`."""
        (rank,), shape = ranks, self.problem.shape
        height, width = shape.kernel
        right = self._decomposed[1][:rank]
        columns = (self.unfoldings[0] @ right.T).T.reshape(rank, shape.inputs, height)
        rows = right.reshape(rank, shape.outputs, width).transpose(1, 0, 2)
        top, left, bottom, end = shape.padding
        first = Factor(
            "_u",
            columns[..., None].astype(np.float32),
            (shape.strides[0], 1),
            (top, 0, bottom, 0),
            (shape.dilation[0], 1),
        )
        last = Factor("", rows[:, :, None], (1, shape.strides[1]), (0, left, 0, end), (1, shape.dilation[1]))
        # The last factor reads the first's result at each of its columns.
        features = np.einsum("rci,jl->rjcil", columns, np.eye(width)).reshape(rank * width, shape.terms)
        return make_factors(self.problem, (first,), last, features)
