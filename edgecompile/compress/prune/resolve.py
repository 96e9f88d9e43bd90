"""`resolve`: a pruning step and a model's groups to a rule for each group."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from edgecompile.compress.prune.channels.group import Group, Groups
from edgecompile.compress.prune.recipe import GroupRule, PruneStep
from edgecompile.compress.rules import refuse_unmatched, rules_for
from edgecompile.errors import InvalidRecipeError


class ResolvedGroup(NamedTuple):
    """What a recipe says about one group.

    Attributes:
        group: the group.
        rule: all rules together.
        rules: the names of those that changed it, in order; "default" is always the first.
    """

    group: Group
    rule: GroupRule
    rules: tuple[str, ...]


def resolve(step: PruneStep, groups: Groups) -> list[ResolvedGroup]:
    """Apply default < operators < layers to each group, where of two rules the later one wins.

    A rule is for a group if it is for one of the layers whose outputs the group's channels are.

    Raises:
        InvalidRecipeError: the model has nothing to prune, a pattern matches no layer whose outputs can go, or every
            group is skipped.
    """
    if not len(groups):
        reasons = "; ".join(dict.fromkeys(axis.reason for axis in groups.fixed)) or "it has no convolutions or products"
        raise InvalidRecipeError(f"pruning needs channels that can go, and the model has none: {reasons:.300}")
    producers = {layer for group in groups for layer, _ in _producers(group)}
    _refuse_fixed(step, producers, groups)
    refuse_unmatched(step.layers, sorted(producers), "layer whose channels can go")
    resolved = [_resolve(step, group) for group in groups]
    if all(found.rule.skip for found in resolved):
        raise InvalidRecipeError(f"the recipe skips all {len(resolved)} groups, nothing is left to prune; skip fewer")
    return resolved


def _resolve(step: PruneStep, group: Group) -> ResolvedGroup:
    rule, names = step.default, ["default"]
    producers = list(_producers(group))
    operators, layers = {operator for _, operator in producers}, {layer for layer, _ in producers}
    for name, found in rules_for(layers, operators, step.operators, step.layers):
        rule = rule.changed_by(found)
        names.append(name)
    return ResolvedGroup(group, rule, tuple(names))


def _producers(group: Group) -> Iterator[tuple[str, str]]:
    """The layers whose outputs the channels are, with their operators."""
    for member in group.members:
        if member.side == "output":
            yield member.layer, member.axis.operator


def _refuse_fixed(step: PruneStep, producers: Collection[str], groups: Groups) -> None:
    """
    Raises:
        InvalidRecipeError: a pattern matches layers whose channels stay, and no others.
    """
    for pattern in step.layers:
        if any(fnmatchcase(layer, pattern) for layer in producers):
            continue
        for axis in groups.fixed:
            if fnmatchcase(axis.axis.layer, pattern):
                raise InvalidRecipeError(
                    f"the pattern {pattern!r} matches {axis.axis.layer}, whose channels stay: {axis.reason}"
                )
