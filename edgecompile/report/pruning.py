"""The report of a pruning: which channels stayed, and what that cost and gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgecompile.artifact.write import write_file
from edgecompile.report.plot_channels import GroupChannels, plot_channels

TABLE_NAME = "pruning.md"
CHANNELS_NAME = "channels.png"


def write_pruning_report(
    folder: Path, groups: Sequence[GroupChannels], figures: Mapping[str, Mapping[str, float]], outcome: str
) -> None:
    """Write the table and the plot; those of an earlier report are replaced.

    Args:
        folder: from `report_folder`.
        groups: in order of execution.
        figures: "before" and "after": numbers by names with units.
        outcome: what became of the step, in a line.

    Raises:
        OutputError: a file cannot be written.
    """
    write_file(folder / TABLE_NAME, markdown(groups, figures, outcome).encode())
    write_file(folder / CHANNELS_NAME, plot_channels(groups))


def markdown(groups: Sequence[GroupChannels], figures: Mapping[str, Mapping[str, float]], outcome: str) -> str:
    """The figures and the channels of each group, as tables."""
    before, after = figures["before"], figures["after"]
    lines = ["# Pruning", "", outcome, "", "| | before | after | ratio |", "|---|---|---|---|"]
    for name, was in before.items():
        now = after[name]
        lines.append(
            f"| {name} | {was:,.6g} | {now:,.6g} | {now / was:.3f} |" if was else f"| {name} | 0 | {now:,.6g} | |"
        )
    lines += ["", "| group | channels | stay |", "|---|---|---|"]
    lines += [f"| {group.group} | {group.before} | {group.after} |" for group in groups]
    return "\n".join(lines) + "\n"
