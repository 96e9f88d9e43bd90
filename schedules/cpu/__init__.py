"""Templates that every CPU shares, parametrised by its facts."""

from __future__ import annotations

from schedules.cpu.loop_nest import LoopNest
from schedules.cpu.register_tile import RegisterTile

# The specific before the general; the last one takes any kernel.
CPU_RULES = (RegisterTile(), LoopNest())

__all__ = ["CPU_RULES", "LoopNest", "RegisterTile"]
