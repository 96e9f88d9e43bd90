"""`resolve`: a pruning step and a model's groups to a rule for each group."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from edgecompile.compress.prune.channels.group import Group, Groups
from edgecompile.compress.prune.recipe import GroupRule, PruneStep
from edgecompile.errors import InvalidRecipeError

_SHOWN = 3


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
    for pattern in step.layers:
        if not any(fnmatchcase(layer, pattern) for layer in producers):
            raise InvalidRecipeError(_no_match(pattern, producers, groups))
    resolved = [_resolve(step, group) for group in groups]
    if all(found.rule.skip for found in resolved):
        raise InvalidRecipeError(f"the recipe skips all {len(resolved)} groups, nothing is left to prune; skip fewer")
    return resolved


def _resolve(step: PruneStep, group: Group) -> ResolvedGroup:
    rule, names = step.default, ["default"]
    producers = list(_producers(group))
    operators, layers = {operator for _, operator in producers}, {layer for layer, _ in producers}
    matching = [(f"operators.{name}", found) for name, found in step.operators.items() if name in operators]
    matching += [
        (f"layers.{pattern}", found)
        for pattern, found in step.layers.items()
        if any(fnmatchcase(layer, pattern) for layer in layers)
    ]
    for name, found in matching:
        rule = rule.changed_by(found)
        names.append(name)
    return ResolvedGroup(group, rule, tuple(names))


def _producers(group: Group) -> Iterator[tuple[str, str]]:
    """The layers whose outputs the channels are, with their operators."""
    for member in group.members:
        if member.side == "output":
            yield member.layer, member.axis.operator


def _no_match(pattern: str, producers: set[str], groups: Groups) -> str:
    for axis in groups.fixed:
        if fnmatchcase(axis.axis.layer, pattern):
            return f"the pattern {pattern!r} matches {axis.axis.layer}, whose channels stay: {axis.reason}"
    names = sorted(producers)
    near = difflib.get_close_matches(pattern.strip("*"), names, n=_SHOWN, cutoff=0.3) or names[:_SHOWN]
    return f"the pattern {pattern!r} matches no layer whose channels can go; the nearest are {', '.join(near)}"
