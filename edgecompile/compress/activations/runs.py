"""`Runs`: a model, compiled when it is first needed, and the samples to run it on."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgecompile.compress.activations.observed_model import ObservedModel
from edgecompile.compress.samples.replay import Replay
from edgecompile.frontend.model import Model

if TYPE_CHECKING:
    import numpy as np


class Runs:
    """Answers the float tensors of a model for each sample, in as many passes as are asked for; use it in a `with`.

    Args:
        model: after `simplify_model`.
        samples: to run it on.
        progress: called with the name of each phase as it begins.
        only: the names of the tensors to answer; all unless given.
    """

    def __init__(
        self,
        model: Model,
        samples: Replay,
        progress: Callable[[str], None],
        only: Collection[str] | None = None,
    ) -> None:
        self.model, self.samples = model, samples
        self._progress, self._only = progress, only
        self._stack = contextlib.ExitStack()
        self._observed: ObservedModel | None = None

    @property
    def observed(self) -> ObservedModel:
        """The compiled model.

        Raises:
            As for `ObservedModel`.
        """
        if self._observed is None:
            self._progress("compile for calibration")
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="edgecompile-"))
            compiled = ObservedModel(self.model, Path(folder) / "observed", 1, lambda phase: None, self._only)
            self._observed = self._stack.enter_context(compiled)
        return self._observed

    def one_pass(self) -> Iterator[dict[str, np.ndarray]]:
        """The tensors of each sample by name."""
        for sample in self.samples:
            yield dict(self.observed.run(sample))

    def __enter__(self) -> Runs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
