"""The phases of a model's way to a CPU."""

from __future__ import annotations

from collections.abc import Sequence

from edgecompile.passes import Phase, standard_phases
from edgecompile.schedule import ScheduleRule
from edgecompile.target import Target


def phases(target: Target) -> Sequence[Phase]:
    """The phases that every target shares, in order."""
    del target
    return standard_phases()


def rules(target: Target) -> Sequence[ScheduleRule]:
    """The kernel templates, the specific before the general."""
    from schedules.cpu import CPU_RULES

    del target
    return CPU_RULES
