"""`Variants`: a model of which any choice of layers is compressed and the others are as they were."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from edgecompile.compress.sensitivity.simulation import Simulation
from edgecompile.errors import UnsupportedModelError
from edgecompile.frontend.model import Model, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    import tvm

    from edgecompile.artifact.artifact import Artifact
    from edgecompile.compress.driver import Predict
    from edgecompile.compress.sensitivity.switches import Switch

Compressed: TypeAlias = "Callable[[frozenset[str]], tvm.IRModule]"
"""The module in which the named layers are compressed, and the others are as they were; pure."""


class Variants(Protocol):
    """Answers what a model computes for any choice of compressed layers; use it in a `with` statement."""

    def predict(self, layers: frozenset[str]) -> Predict:
        """The function that computes the model with these layers compressed; good until the next call."""

    def __enter__(self) -> Variants: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def variants_of(
    model: Model, layers: Sequence[str], compressed: Compressed, progress: Callable[[str], None]
) -> Variants:
    """The quickest way to have the variants of a model: one compilation with switches, else one for each variant.

    Args:
        model: as the compression found it, simplified.
        layers: that can be compressed.
    """
    try:
        return SwitchedVariants(model, layers, compressed, progress)
    except UnsupportedModelError:
        return CompiledVariants(model, compressed, progress)


class SwitchedVariants(Simulation):
    """All variants in one compiled model, which simulates the compressed layers in float arithmetic.

    It computes each layer twice, so an inference takes about three times as long; a variant costs inferences alone.
    Its integers may differ by one from those of the integer program where a sum lies at a border between two.

    Raises:
        UnsupportedModelError: the compressed module differs by more than switches can select.
    """

    def __init__(
        self, model: Model, layers: Sequence[str], compressed: Compressed, progress: Callable[[str], None]
    ) -> None:
        from edgecompile.compress.sensitivity.switches import switched

        merged = switched(model.module, compressed(frozenset(layers)))
        control = TensorSpec(str(merged.module["main"].params[-1].name), (len(merged.switches),), "float32")
        self._original, self._compressed, self._switches = model.module, compressed, merged.switches
        super().__init__(model, merged.module, [control], progress)

    def predict(self, layers: frozenset[str]) -> Predict:
        """See `Variants`."""
        import numpy as np

        chosen = self._chosen(layers)
        control = np.array([switch in chosen for switch in self._switches], np.float32)
        return self.given(control)

    def _chosen(self, layers: frozenset[str]) -> set[Switch]:
        from edgecompile.compress.sensitivity.switches import differences

        return set(differences(self._original, self._compressed(layers))) if layers else set()


class CompiledVariants:
    """Each variant compiled for this machine when it is asked for, as it would ship."""

    def __init__(self, model: Model, compressed: Compressed, progress: Callable[[str], None]) -> None:
        self._model, self._compressed, self._progress = model, compressed, progress
        self._folder = tempfile.TemporaryDirectory(prefix="edgecompile-")
        self._artifact: Artifact | None = None
        self._layers: frozenset[str] | None = None

    def predict(self, layers: frozenset[str]) -> Predict:
        """See `Variants`."""
        from edgecompile.driver import compile

        if self._artifact is None or layers != self._layers:
            self._close()
            module = self._compressed(layers) if layers else self._model.module
            variant = dataclasses.replace(self._model, module=module, reference=None, history=())
            self._progress(f"simulation of {len(layers)} layers")
            self._artifact = compile(variant, "host", Path(self._folder.name) / "net")
            self._layers = layers
        artifact = self._artifact

        def predict(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
            return artifact.run(*inputs)

        return predict

    def __enter__(self) -> CompiledVariants:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._folder.cleanup()

    def _close(self) -> None:
        if self._artifact is not None:
            self._artifact.close()
            self._artifact = None
