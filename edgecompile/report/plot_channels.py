"""The plot of how many channels each group keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgecompile.report.style import FLOAT, INT8, clear, new_figure, png, shortened

_INCHES_PER_GROUP = 0.24
_TALLEST = 60.0  # inches; matplotlib refuses images of 2^16 points


class GroupChannels(NamedTuple):
    """Channels of a group before and after pruning."""

    group: str
    before: int
    after: int


def plot_channels(groups: Sequence[GroupChannels]) -> bytes:
    """PNG: a bar for each group, what stays of it dark."""
    places = list(range(len(groups)))
    figure = new_figure(8.0, min(1.6 + _INCHES_PER_GROUP * len(groups), _TALLEST))
    axes = figure.subplots()
    axes.barh(places, [group.before for group in groups], 0.7, color=FLOAT, alpha=0.35, label="as it was")
    axes.barh(places, [group.after for group in groups], 0.7, color=INT8, label="stays")
    axes.set_yticks(places, [shortened(group.group) for group in groups], fontsize=8)
    axes.set_ylim(len(groups) - 0.4, -0.6)  # the first group on top
    axes.set_xlabel("channels")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)
    clear(axes, grid="x")
    return png(figure)
