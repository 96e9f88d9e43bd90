"""ARM application processors: boards and phones."""

from __future__ import annotations

from targets.arm_cpu.boards import TARGETS

__all__ = ["TARGETS"]
