"""`Simulation`: a model with further inputs, which choose what becomes of its layers, compiled once."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from edgecompile.frontend.model import Model, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    import tvm

    from edgecompile.compress.driver import Predict

_Self = TypeVar("_Self", bound="Simulation")


class Simulation:
    """The compiled model; use it in a `with` statement.

    Args:
        model: whose inputs come first.
        module: with the further inputs.
        inputs: those, in their order.
    """

    def __init__(
        self, model: Model, module: tvm.IRModule, inputs: Sequence[TensorSpec], progress: Callable[[str], None]
    ) -> None:
        from edgecompile.driver import compile

        self._folder = tempfile.TemporaryDirectory(prefix="edgecompile-")
        simulated = dataclasses.replace(
            model, module=module, inputs=(*model.inputs, *inputs), reference=None, history=(), sample_inputs={}
        )
        # By the direct sums, which are more exact than Winograd's, and compile in less time and memory.
        self._artifact = compile(
            simulated,
            "host",
            Path(self._folder.name) / "net",
            prefer="size",
            progress=lambda phase: progress(f"simulation: {phase}"),
        )

    def given(self, *chosen: np.ndarray) -> Predict:
        """The function that computes the model with these further inputs."""
        return lambda inputs: self._artifact.run(*inputs, *chosen)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._artifact.close()
        self._folder.cleanup()
