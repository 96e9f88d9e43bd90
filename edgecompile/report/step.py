"""The report of a step that was judged as a whole: what it did, and what that cost and gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgecompile.artifact.write import write_file
from edgecompile.decision import OUTCOME_STEP, Decision


def write_step_report(
    folder: Path,
    kind: str,
    decisions: Sequence[Decision],
    figures: Mapping[str, Mapping[str, float]],
    plots: Mapping[str, Callable[[], bytes]],
) -> None:
    """Write `KIND.md` and the plots; those of an earlier report are replaced.

    Args:
        folder: from `report_folder`.
        kind: of the step.
        decisions: the outcome among them.
        figures: "before" and "after": numbers by names with units.
        plots: by file name, what draws a PNG.

    Raises:
        OutputError: a file cannot be written.
    """
    write_file(folder / f"{kind}.md", markdown(kind, decisions, figures).encode())
    for name, draw in plots.items():
        write_file(folder / name, draw())


def markdown(kind: str, decisions: Sequence[Decision], figures: Mapping[str, Mapping[str, float]]) -> str:
    """The outcome, the figures, and what was decided for each layer, as tables."""
    before, after = figures["before"], figures["after"]
    outcomes = [f"{decision.reason}." for decision in decisions if decision.step == OUTCOME_STEP]
    lines = [f"# {kind}", "", *outcomes, "", "| | before | after | ratio |", "|---|---|---|---|"]
    for name, was in before.items():
        now = after[name]
        lines.append(f"| {name} | {was:,.6g} | {now:,.6g} | {f'{now / was:.3f}' if was else '-'} |")
    lines += ["", "| | changed | why |", "|---|---|---|"]
    for decision in decisions:
        if decision.step != OUTCOME_STEP:
            reason = decision.reason.replace("|", "\\|")
            lines.append(f"| {decision.subject} | {'yes' if decision.kept else 'no'} | {reason} |")
    return "\n".join(lines) + "\n"
