"""`MaskedVariants`: a model without any choice of its channels, compiled once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.sensitivity.masked import MASK, mask_of, masked
from edgecompile.compress.prune.sensitivity.removal import Removal
from edgecompile.compress.sensitivity.simulation import Simulation
from edgecompile.frontend.model import Model, TensorSpec

if TYPE_CHECKING:
    from edgecompile.compress.driver import Predict


class MaskedVariants(Simulation):
    """The model with zeros where channels would go; see `masked`. Use it in a `with` statement.

    Args:
        groups: of the model's module.
        removal: which channels go.
    """

    def __init__(self, model: Model, groups: Groups, removal: Removal, progress: Callable[[str], None]) -> None:
        self._groups, self._removal = groups, removal
        spec = TensorSpec(MASK, (sum(group.channels for group in groups) + 1,), "float32")
        super().__init__(model, masked(model.module, groups), [spec], progress)

    def predict(self, levels: Mapping[str, float]) -> Predict:
        """The function that computes the model at these ratios of groups, whole groups where none is given."""
        return self.given(mask_of(self._groups, self._removal.channels(levels)))
