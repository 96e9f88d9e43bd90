"""`Decision`: what a step did or refused to do, and why; `explain` shows them all."""

from __future__ import annotations

from dataclasses import dataclass

SCHEDULE_STEP = "schedule"
"""The step that chose a kernel's template; the reason is the template's name."""

OUTCOME_STEP = "outcome"
"""What became of a whole step of a recipe, where there is more to say than of its layers; the subject is the model."""


@dataclass(frozen=True)
class Decision:
    """One choice of a pass or a schedule.

    Attributes:
        step: the pass or rule that decided, such as "FoldBatchNorm".
        subject: the layer or kernel it decided about.
        kept: True when the change was made.
        reason: one line.
    """

    step: str
    subject: str
    kept: bool
    reason: str
