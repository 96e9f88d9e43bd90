"""Recipes whose steps are done by stand-ins."""

from __future__ import annotations

import dataclasses

import pytest

from edgecompile.compress.kinds import KINDS


@pytest.fixture
def rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quantize step rounds the weights."""
    double = dataclasses.replace(KINDS["quantize"], function="tests.compress.doubles:round_weights")
    monkeypatch.setitem(KINDS, "quantize", double)
