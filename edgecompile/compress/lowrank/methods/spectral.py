"""`SpectralMethod`: a method whose ranks cut singular values."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import numpy as np

from edgecompile.compress.lowrank.methods.method import Method, Ranks
from edgecompile.compress.lowrank.vbmf import vbmf_rank


class SpectralMethod(Method):
    """Knows before any factor is made what each rank loses."""

    @property
    @abstractmethod
    def spectra(self) -> tuple[np.ndarray, ...]:
        """The squared singular values that each rank cuts, in falling order, whitened where there are data."""

    @property
    @abstractmethod
    def unfoldings(self) -> tuple[np.ndarray, ...]:
        """The matrices, of the weight alone, whose ranks they are."""

    @cached_property
    def _tails(self) -> tuple[np.ndarray, ...]:
        """By each rank from 0 on, the share of the squares that is lost."""
        found = []
        for spectrum in self.spectra:
            whole = spectrum.sum()
            below = np.append(np.cumsum(spectrum[::-1])[::-1], 0.0)
            found.append(below / whole if whole > 0 else np.zeros_like(below))
        return tuple(found)

    def error(self, ranks: Ranks) -> float:
        """See `Method`; before the last factor is fitted, and for two ranks an upper bound.

        Source of the bound: L. De Lathauwer, B. De Moor, J. Vandewalle, "A Multilinear Singular Value Decomposition",
        SIAM J. Matrix Anal. Appl. 21(4), 2000, property 10.
        """
        return float(sum(tail[rank] for tail, rank in zip(self._tails, ranks, strict=True)))

    def ranks_by_energy(self, energy: float) -> Ranks:
        """See `Method`."""
        lost = 1 - energy + 1e-12  # sums of shares are not exact
        return tuple(max(1, int(np.argmax(tail <= lost))) for tail in self._tails)

    def ranks_by_vbmf(self) -> Ranks:
        """See `Method`."""
        return tuple(max(1, vbmf_rank(matrix)) for matrix in self.unfoldings)
