"""`MaskedVariants`: a model without any choice of its channels, compiled once."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.sensitivity.masked import MASK, mask_of, masked
from edgecompile.compress.prune.sensitivity.removal import Removal
from edgecompile.driver import compile
from edgecompile.frontend.model import Model, TensorSpec

if TYPE_CHECKING:
    from edgecompile.compress.driver import Predict


class MaskedVariants:
    """The model with zeros where channels would go; see `masked`. Use it in a `with` statement.

    Args:
        groups: of the model's module.
        removal: which channels go.
    """

    def __init__(self, model: Model, groups: Groups, removal: Removal, progress: Callable[[str], None]) -> None:
        self._groups, self._removal = groups, removal
        self._folder = tempfile.TemporaryDirectory(prefix="edgecompile-")
        module = masked(model.module, groups)
        spec = TensorSpec(MASK, (sum(group.channels for group in groups) + 1,), "float32")
        variants = dataclasses.replace(
            model, module=module, inputs=(*model.inputs, spec), reference=None, history=(), sample_inputs={}
        )
        # By the direct sums, which are more exact than Winograd's, and compile in less time and memory.
        self._artifact = compile(
            variants,
            "host",
            Path(self._folder.name) / "net",
            prefer="size",
            progress=lambda phase: progress(f"simulation: {phase}"),
        )

    def predict(self, levels: Mapping[str, float]) -> Predict:
        """The function that computes the model at these ratios of groups, whole groups where none is given."""
        mask = mask_of(self._groups, self._removal.channels(levels))
        return lambda inputs: self._artifact.run(*inputs, mask)

    def __enter__(self) -> MaskedVariants:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._artifact.close()
        self._folder.cleanup()
