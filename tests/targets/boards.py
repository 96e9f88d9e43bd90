"""Emulated boards as test parameters, each skipped where its tools are missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

_LACKS_ARMV7 = not (
    shutil.which("arm-linux-gnueabihf-gcc")
    and shutil.which("qemu-arm")
    and Path("/usr/arm-linux-gnueabihf/lib/libc.so.6").exists()
)
NEEDS_ARMV7 = pytest.mark.skipif(
    _LACKS_ARMV7, reason="needs: apt-get install qemu-user gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"
)
RPI4 = pytest.param("rpi4", marks=pytest.mark.board)
ARMV7 = pytest.param("armv7-neon", marks=NEEDS_ARMV7)
