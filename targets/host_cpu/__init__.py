"""The machine that the compiler runs on."""

from __future__ import annotations

from targets.host_cpu.boards import TARGETS

__all__ = ["TARGETS"]
