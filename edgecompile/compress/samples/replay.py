"""`Replay`: calibration data for several passes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from edgecompile.compress.samples.data import Data, read_samples
from edgecompile.frontend.model import TensorSpec

if TYPE_CHECKING:
    import numpy as np

KEPT_BYTES = 256 << 20
"""Of data that can be read once, how much stays in memory for further passes."""


class Replay:
    """Samples as mappings from input names to arrays, the same in each pass.

    Data that can be read again are read again. Of an iterator, which can be read once, the first samples are kept in
    memory, up to `KEPT_BYTES`, and the others are left out of all passes.

    Args:
        data: as for `read_samples`.
        inputs: of the model.
        samples: at most so many; None means all.
        once: there will be one pass, so that nothing needs to be kept.

    Attributes:
        first: the first sample, once it was read.
        kept: how many samples of an iterator are in memory; None where none need to be.
        is_cut: True when there were more than that.

    Raises:
        InvalidCalibrationError: as for `read_samples`, when they are read; where they are kept, at once.
    """

    def __init__(self, data: Data, inputs: Sequence[TensorSpec], samples: int | None, *, once: bool = False) -> None:
        self._data, self._inputs, self._samples = data, inputs, samples
        self.first: Mapping[str, np.ndarray] = {}
        self._memory: list[dict[str, np.ndarray]] | None = None
        self.is_cut = False
        if isinstance(data, Iterator) and not once:
            self._memory, self.is_cut = _beginning(self._read())

    @property
    def kept(self) -> int | None:
        return None if self._memory is None else len(self._memory)

    def __iter__(self) -> Iterator[Mapping[str, np.ndarray]]:
        for sample in self._read() if self._memory is None else self._memory:
            self.first = self.first or sample
            yield sample

    def _read(self) -> Iterator[dict[str, np.ndarray]]:
        return itertools.islice(read_samples(self._data, self._inputs), self._samples)


def _beginning(samples: Iterator[dict[str, np.ndarray]]) -> tuple[list[dict[str, np.ndarray]], bool]:
    """As many as fit the memory, one at least, and whether there are more."""
    kept: list[dict[str, np.ndarray]] = []
    size = 0
    for sample in samples:
        size += sum(array.nbytes for array in sample.values())
        if kept and size > KEPT_BYTES:
            return kept, True
        kept.append(sample)
    return kept, False
