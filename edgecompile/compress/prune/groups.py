"""`groups`: which channels of a model go together, as `edgecompile.groups`."""

from __future__ import annotations

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.channels.group import Groups
from edgecompile.frontend.model import Model, check_model


def groups(model: Model) -> Groups:
    """The groups of channels that pruning can shorten, and the layers that have to stay, with the reasons.

    Printed, they say for each group its layers and why they are together.

    Raises:
        InvalidInputError: it is no model.
        UnsupportedModelError: the model has control flow.
    """
    check_model(model, "groups")
    return find_groups(model.module)
