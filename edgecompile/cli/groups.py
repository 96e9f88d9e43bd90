"""The groups of a model's channels, as `edgecompile inspect --groups` shows them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from edgecompile.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from edgecompile.compress.prune.channels.group import FixedAxis, Group, Groups
    from edgecompile.compress.prune.channels.linker import LayerAxis
    from edgecompile.frontend.model import Model


def show_groups(model: Model, *, as_json: bool) -> None:
    """Print which channels go together, and which stay.

    Raises:
        UnsupportedModelError: the model has control flow.
    """
    from edgecompile.compress.prune.groups import groups

    found = groups(model)
    if as_json:
        print_json(_document(model, found))
        return
    if len(found):
        columns = ("group", "channels", "layer", "operator", "axis", "together because it")
        rows = [row for group in found for row in _rows(group)]
        print_table(columns, rows, f"{model.name}: channels that can go, together with the others of their group")
    else:
        click.echo(f"{model.name} has no channels that can go")
    if found.fixed:
        rows = [
            (fixed.axis.layer, fixed.axis.operator, _axis(fixed.axis), fixed.channels, fixed.reason)
            for fixed in found.fixed
        ]
        print_table(("layer", "operator", "axis", "channels", "because"), rows, "channels that stay")


def _rows(group: Group) -> Iterator[tuple[object, ...]]:
    """One for each layer and side, then one for each operator that ties them; the first one names the group."""
    name, channels = group.name, f"{group.channels:,}"
    for (layer, operator, _), found in itertools.groupby(
        group.members, lambda member: (member.layer, member.axis.operator, member.side)
    ):
        same = list(found)
        each = same[0].indices.shape[1]
        axes = ", ".join(dict.fromkeys(_axis(member.axis) for member in same))
        yield name, channels, layer, operator, axes + (f", {each} for each channel" if each > 1 else ""), ""
        name, channels = "", ""
    for coupling in group.couplings:
        yield "", "", coupling.layer, "", "", coupling.reason


def _axis(axis: LayerAxis) -> str:
    return f"{axis.operand} {axis.axis}" + (f" ({axis.side}s)" if axis.side != "each" else "")


def _document(model: Model, groups: Groups) -> dict[str, object]:
    return {
        "name": model.name,
        "groups": [
            {
                "name": group.name,
                "channels": group.channels,
                "members": [
                    {**_axis_document(member.axis), "indices_for_each_channel": member.indices.shape[1]}
                    for member in group.members
                ],
                "together_because": [
                    {"layer": coupling.layer, "reason": coupling.reason} for coupling in group.couplings
                ],
            }
            for group in groups
        ],
        "fixed": [_fixed_document(fixed) for fixed in groups.fixed],
    }


def _fixed_document(fixed: FixedAxis) -> dict[str, object]:
    return {**_axis_document(fixed.axis), "channels": fixed.channels, "reason": fixed.reason}


def _axis_document(axis: LayerAxis) -> dict[str, object]:
    return {
        "layer": axis.layer,
        "operator": axis.operator,
        "operand": axis.operand,
        "axis": axis.axis,
        "side": axis.side,
    }
