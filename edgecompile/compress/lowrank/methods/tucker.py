"""Tucker-2 decomposition: a convolution between fewer channels, which 1x1 convolutions make and undo.

Source: Y.-D. Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile
Applications", ICLR 2016.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from edgecompile.compress.lowrank.factors import Factor, Factors, make_factors
from edgecompile.compress.lowrank.methods.method import Ranks
from edgecompile.compress.lowrank.methods.spectral import SpectralMethod
from edgecompile.compress.lowrank.shape import LayerShape

_ROUNDS = 20  # of alternating least squares; each mode's singular vectors are a good start


class Tucker(SpectralMethod):
    """conv `[K, C, kh, kw]` -> 1x1 `[p, C]`, conv `[q, p, kh, kw]`, 1x1 `[K, q]`; the ranks are p and q.

    The error of the results is minimised as if inputs at different taps of the kernel were independent; the last factor
    is then fitted to what they are.
    """

    name = "tucker"

    @classmethod
    def highest(cls, shape: LayerShape) -> Ranks:
        """See `Method`."""
        return (
            min(shape.inputs, shape.outputs * shape.taps),
            min(shape.outputs, shape.terms),
        )

    @classmethod
    def trimmed(cls, shape: LayerShape, ranks: Ranks) -> Ranks:
        """See `Method`: of the core as a matrix, neither side has a higher rank than the other times the taps."""
        before, after = ranks
        return min(before, after * shape.taps), min(after, before * shape.taps)

    @classmethod
    def params(cls, shape: LayerShape, ranks: Ranks) -> int:
        """See `Method`."""
        before, after = ranks
        return shape.inputs * before + before * after * shape.taps + after * shape.outputs

    @classmethod
    def macs(cls, shape: LayerShape, ranks: Ranks) -> int:
        """See `Method`."""
        before, after = ranks
        inner = before * after * shape.taps + after * shape.outputs
        return shape.inputs * before * shape.source_places + inner * shape.result_places

    @cached_property
    def _whitened(self) -> np.ndarray:
        """`[outputs, inputs, KH, KW]`, whose squared error is that of the results."""
        root, weight = self.problem.input_root, self.problem.weight
        return weight if root is None else np.einsum("kchw,cd->kdhw", weight, root, optimize=True)

    @cached_property
    def spectra(self) -> tuple[np.ndarray, ...]:
        """See `SpectralMethod`."""
        return tuple(np.square(np.linalg.svd(matrix, compute_uv=False)) for matrix in _unfolded(self._whitened))

    @cached_property
    def unfoldings(self) -> tuple[np.ndarray, ...]:
        """`[inputs, outputs * KH * KW]` and `[outputs, inputs * KH * KW]`."""
        return _unfolded(self.problem.weight)

    def factors(self, ranks: Ranks) -> Factors:
        """See `Method`."""
        import tensorly
        from tensorly.decomposition import partial_tucker

        (before, after), shape = ranks, self.problem.shape
        with tensorly.backend_context("numpy", local_threadsafe=True):
            (core, (outputs, inputs)), _ = partial_tucker(
                self._whitened, rank=[after, before], modes=[0, 1], n_iter_max=_ROUNDS, init="svd"
            )
        root = self.problem.input_root
        if root is not None:
            inputs = np.linalg.solve(root.T, inputs)
        scale = np.linalg.norm(inputs, axis=0)  # so that both are of the weight's own size
        inputs, core = inputs / scale, core * scale[None, :, None, None]
        first = Factor("_u", inputs.T[:, :, None, None].astype(np.float32))
        middle = Factor("_core", core.astype(np.float32), shape.strides, shape.padding, shape.dilation)
        features = np.einsum("qphw,cp->qchw", core, inputs, optimize=True).reshape(after, shape.terms)
        return make_factors(self.problem, (first, middle), Factor("", outputs[:, :, None, None]), features)


def _unfolded(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    outputs, inputs = weight.shape[:2]
    return weight.transpose(1, 0, 2, 3).reshape(inputs, -1), weight.reshape(outputs, -1)
