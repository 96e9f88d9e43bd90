"""Templates that every CPU shares, parametrised by its facts."""

from __future__ import annotations

from schedules.cpu.implementations import EMITTERS, CpuImplementations
from schedules.cpu.layout_conversion import LayoutConversion
from schedules.cpu.loop_nest import LoopNest
from schedules.cpu.register_tile import RegisterTile
from schedules.cpu.rows.template import RowTemplate
from schedules.cpu.template import Template
from schedules.cpu.transposition import Transposition

# The specific before the general; the last one takes any kernel.
CPU_RULES = (Template(EMITTERS), LayoutConversion(), Transposition(), RowTemplate(), RegisterTile(), LoopNest())

__all__ = [
    "CPU_RULES",
    "CpuImplementations",
    "LayoutConversion",
    "LoopNest",
    "RegisterTile",
    "RowTemplate",
    "Template",
    "Transposition",
]
