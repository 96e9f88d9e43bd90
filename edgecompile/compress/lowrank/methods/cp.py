"""CP decomposition: a depthwise convolution between 1x1 ones.

Source: V. Lebedev et al., "Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition", ICLR 2015,
with the kernel's two axes as one, so that one depthwise kernel does what two would.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np

from edgecompile.compress.lowrank.factors import Factor, Factors, make_factors
from edgecompile.compress.lowrank.methods.method import Method, Ranks
from edgecompile.compress.lowrank.problem import Problem
from edgecompile.compress.lowrank.shape import LayerShape

_ROUNDS = 60  # of alternating least squares
_TOLERANCE = 1e-6
_SEED = 0  # of the columns that singular vectors do not give a start for
_FIRST_RANK = 8  # that is tried for an energy; then each is twice the one before


class Cp(Method):
    """conv `[K, C, kh, kw]` -> 1x1 `[r, C]`, depthwise `[r, 1, kh, kw]`, 1x1 `[K, r]`.

    No spectrum tells the error of a rank: the best approximation of one says nothing about that of another, so each
    that is asked for is computed. Near the highest rank alternating least squares need not find what exists.
    """

    name = "cp"
    has_vbmf = False

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._known: dict[Ranks, Factors] = {}

    @classmethod
    def highest(cls, shape: LayerShape) -> Ranks:
        """A bound of the tensor's rank."""
        return (min(shape.outputs * shape.inputs, shape.outputs * shape.taps, shape.inputs * shape.taps),)

    @classmethod
    def params(cls, shape: LayerShape, ranks: Ranks) -> int:
        """See `Method`."""
        return ranks[0] * (shape.inputs + shape.taps + shape.outputs)

    @classmethod
    def macs(cls, shape: LayerShape, ranks: Ranks) -> int:
        """See `Method`."""
        inner = (shape.taps + shape.outputs) * shape.result_places
        return ranks[0] * (shape.inputs * shape.source_places + inner)

    def error(self, ranks: Ranks) -> float:
        """See `Method`; of the factors themselves."""
        return self.factors(ranks).error

    def ranks_by_energy(self, energy: float) -> Ranks:
        """See `Method`; the first of 8, 16, 32, ... that does, or the highest."""
        (highest,) = self.highest(self.problem.shape)
        for rank in itertools.takewhile(lambda rank: rank < highest, (_FIRST_RANK << n for n in itertools.count())):
            if self.params(self.problem.shape, (rank,)) >= self.problem.shape.params:
                break  # more would save nothing
            if self.error((rank,)) <= 1 - energy:
                return (rank,)
        return (highest,)

    def ranks_by_vbmf(self) -> Ranks:
        """It is for matrices.

        Raises:
            NotImplementedError: always; see `has_vbmf`.
        """
        raise NotImplementedError

    def factors(self, ranks: Ranks) -> Factors:
        """See `Method`."""
        if ranks not in self._known:
            self._known[ranks] = self._factors(ranks[0])
        return self._known[ranks]

    def _factors(self, rank: int) -> Factors:
        import tensorly
        from tensorly.decomposition import parafac

        shape, root = self.problem.shape, self.problem.input_root
        tensor = self.problem.weight.reshape(shape.outputs, shape.inputs, shape.taps)
        if root is not None:
            tensor = np.einsum("kct,cd->kdt", tensor, root)
        with tensorly.backend_context("numpy", local_threadsafe=True), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that singular vectors do not start all columns
            _, (_, inputs, taps) = parafac(
                tensor, rank, n_iter_max=_ROUNDS, init="svd", tol=_TOLERANCE, random_state=_SEED
            )
        if root is not None:
            inputs = np.linalg.solve(root.T, inputs)
        # The last factor is fitted to the others, so their sizes are free: each of 1.
        inputs, taps = _of_size_one(inputs), _of_size_one(taps)
        kernel = taps.T.reshape(rank, 1, *shape.kernel).astype(np.float32)
        first = Factor("_u", inputs.T[:, :, None, None].astype(np.float32))
        middle = Factor("_core", kernel, shape.strides, shape.padding, shape.dilation, groups=rank)
        features = np.einsum("cr,tr->rct", inputs, taps).reshape(rank, shape.terms)
        return make_factors(self.problem, (first, middle), Factor("", np.zeros((shape.outputs, rank, 1, 1))), features)


def _of_size_one(columns: np.ndarray) -> np.ndarray:
    return columns / np.maximum(np.linalg.norm(columns, axis=0), np.finfo(np.float64).tiny)
