"""`Refit`: after layers became several, the model's weights and biases are fitted to what it computed before."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from edgecompile.compress.reconstruct import reconstruct
from edgecompile.decision import Decision

if TYPE_CHECKING:
    import tvm

    from edgecompile.compress.samples.replay import Replay
    from edgecompile.frontend.model import Model


class Refit:
    """A function from a factorised module to the one that ships.

    The last factor of a layer answers what the layer did, so it is fitted to that, from what it reads now: with the
    errors of the layers in front of it. Layers that are whole are fitted likewise. See `reconstruct`.

    Args:
        model: simplified, before any layer is factorised.
        samples: to fit to; None only where `how` is "none".
        how: "none" leaves modules as they are, "bias" their weights.
    """

    def __init__(
        self,
        model: Model,
        samples: Replay | None,
        how: Literal["none", "bias", "least_squares"],
        progress: Callable[[str], None],
    ) -> None:
        self._model, self._samples, self._how, self._progress = model, samples, how, progress

    @property
    def is_idle(self) -> bool:
        """True where modules stay as they are."""
        return self._how == "none"

    def __call__(self, module: tvm.IRModule) -> tuple[tvm.IRModule, list[Decision]]:
        """The fitted module, and a decision for each layer that could be fitted."""
        if self._how == "none":
            return module, []
        assert self._samples is not None
        decisions: list[Decision] = []
        smaller = dataclasses.replace(self._model, module=module)
        fitted = reconstruct(self._model, smaller, {}, self._samples, self._how, decisions, self._progress)
        return fitted.module, decisions
