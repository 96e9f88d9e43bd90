"""The hand-written artifact of `tests/artifact`."""

from __future__ import annotations

from tests.artifact.conftest import folder, tiny_library

__all__ = ["folder", "tiny_library"]
