"""What a pruning step would do, in the words of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.recipe import PruneStep
from edgecompile.compress.prune.resolve import ResolvedGroup, resolve

if TYPE_CHECKING:
    from edgecompile.frontend.model import Model


class GroupRow(NamedTuple):
    """What becomes of one group.

    Attributes:
        group: its name.
        channels: how many it has.
        goes: how many of them by the rules; "by macs=0.5, global" where the selection decides, "none" where they stay.
        layers: whose weights become shorter.
        coupled: the operators that make channels of different layers go together; "-" where there are none.
        why: the rule that won, after those that it changed.
    """

    group: str
    channels: int
    goes: str
    layers: str
    coupled: str
    why: str


def preview(model: Model, step: PruneStep) -> list[GroupRow]:
    """What the step would make of each group, without data.

    Raises:
        InvalidRecipeError: the step does not fit the model.
    """
    return [_row(found, step) for found in resolve(step, find_groups(model.module))]


def _row(found: ResolvedGroup, step: PruneStep) -> GroupRow:
    group = found.group
    layers = list(dict.fromkeys(member.layer for member in group.members if member.axis.operand == "weight"))
    coupled = list(dict.fromkeys(map(str, group.couplings)))
    return GroupRow(
        group=group.name,
        channels=group.channels,
        goes=_goes(found, step),
        layers=", ".join(layers),
        coupled="; ".join(coupled) or "-",
        why=" < ".join(found.rules),
    )


def _goes(found: ResolvedGroup, step: PruneStep) -> str:
    if found.rule.skip:
        return "none"
    if found.rule.ratio is not None:
        return f"about {round(found.rule.ratio * found.group.channels)}"
    if step.budget is not None:
        name, share = step.budget
        return f"by {name}={share:g}, {step.method}"
    if step.ratio is None:
        return "none"
    if step.method == "uniform":
        return f"about {round(step.ratio * found.group.channels)}"
    return f"by ratio={step.ratio:g}, {step.method}"
