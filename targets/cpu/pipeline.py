"""The phases of a model's way to a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgecompile.implementation import Implementations, Preference
from edgecompile.passes import LAYOUTS, Phase, eliminate_dead_code, standard_phases
from edgecompile.schedule import ScheduleRule
from edgecompile.target import Target


def phases(
    target: Target,
    watch: Callable[[Implementations], Implementations] | None = None,
    prefer: Preference = "speed",
) -> Sequence[Phase]:
    """The phases that every target shares, and the planning of layouts for this CPU; options as in `Family.phases`."""
    from edgecompile.passes.fuse_attention import FuseAttention
    from edgecompile.passes.layouts import PlanLayouts
    from schedules.cpu import CpuImplementations

    integers, simplify, *rest = standard_phases()
    offered = CpuImplementations(target.cpu, variants=watch is not None, prefer=prefer)
    attention = Phase(
        "attention",
        "one kernel takes the products around a softmax, while each of its parts is still one call",
        (FuseAttention(offered), eliminate_dead_code()),
    )
    layouts = Phase(
        LAYOUTS,
        "convolutions and matrix products get packed weights and blocked tensors, while each is still one call",
        (PlanLayouts(watch(offered) if watch else offered),),
    )
    return (integers, simplify, attention, layouts, *rest)


def rules(target: Target) -> Sequence[ScheduleRule]:
    """The kernel templates, the specific before the general."""
    from schedules.cpu import CPU_RULES

    del target
    return CPU_RULES
