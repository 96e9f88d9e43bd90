"""Choosing a schedule for every kernel: the first rule that takes it wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from edgecompile.decision import SCHEDULE_STEP, Decision
from edgecompile.errors import CompilerBugError
from edgecompile.target import Target

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule

SCHEDULE_NAME = "edgecompile.schedule"
"""An attribute of a scheduled kernel: what to call its schedule, where that is not the rule's name."""


class ScheduleRule(Protocol):
    """A template: `apply` answers with a scheduled kernel, or None when the kernel is not its kind."""

    @property
    def name(self) -> str: ...

    def apply(self, kernel: tvm.tirx.PrimFunc, target: Target) -> Schedule | None: ...


def kernels_of(module: tvm.IRModule) -> dict[str, tvm.tirx.PrimFunc]:
    """The kernels of a lowered module by symbol, in the order of their names."""
    import tvm

    kernels = {
        variable.name_hint: function
        for variable, function in module.functions_items()
        if isinstance(function, tvm.tirx.PrimFunc)
    }
    return dict(sorted(kernels.items()))


def schedule_kernels(
    kernels: dict[str, tvm.tirx.PrimFunc], rules: Sequence[ScheduleRule], target: Target, decisions: list[Decision]
) -> dict[str, tvm.tirx.PrimFunc]:
    """Schedule each kernel by the first rule that takes it; a rule that the scheduler refuses leaves a decision.

    Raises:
        CompilerBugError: no rule takes a kernel; the last rule of a target must take any.
    """
    return {name: _schedule(name, kernel, rules, target, decisions) for name, kernel in kernels.items()}


def _schedule(
    name: str,
    kernel: tvm.tirx.PrimFunc,
    rules: Sequence[ScheduleRule],
    target: Target,
    decisions: list[Decision],
) -> tvm.tirx.PrimFunc:
    from tvm.s_tir.schedule import ScheduleError

    for rule in rules:
        try:
            schedule = rule.apply(kernel, target)
        except ScheduleError as error:  # a template met a kernel that it did not foresee; a plainer one still serves
            reason = (str(error).strip().splitlines() or ["the scheduler gave no reason"])[-1].strip()
            decisions.append(Decision(rule.name, name, False, reason))
            continue
        if schedule is not None:
            function = schedule.mod["main"]
            decisions.append(
                Decision(SCHEDULE_STEP, name, True, str((function.attrs or {}).get(SCHEDULE_NAME, rule.name)))
            )
            return function
    raise CompilerBugError(f"no schedule rule of target {target.name} takes the kernel {name}")
