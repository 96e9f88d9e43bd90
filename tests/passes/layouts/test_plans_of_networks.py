"""Networks of residual blocks run in blocks from the first convolution to the last pooling."""

from __future__ import annotations

import pytest

import edgecompile as ec
from edgecompile.decision import Decision
from edgecompile.passes import lower, standard_phases
from edgecompile.passes.layouts import PlanLayouts
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from targets.cpu.object_code import tvm_target
from tests.passes.layouts.plans import callees


@pytest.mark.parametrize("network", ["resnet18", "mobilenetv2"])
def test_nothing_is_converted(network: str) -> None:
    """The image is read as it is, and behind the last pooling both layouts are the same bytes."""
    module = ec.load(f"zoo:{network}").module
    for name in ("host,vector_bytes=64,vector_registers=32", "host,vector_bytes=32,vector_registers=16", "rpi4"):
        device = find_target(name)
        simplified = lower(module, standard_phases()[:2], tvm_target(device)).module
        decisions: list[Decision] = []
        calls = callees(PlanLayouts(CpuImplementations(device.cpu))(simplified, decisions))
        assert calls["to_blocks"] == calls["from_blocks"] == calls["nn.conv2d"] == 0
        assert "0 conversions; no plan is cheaper" in decisions[-1].reason
