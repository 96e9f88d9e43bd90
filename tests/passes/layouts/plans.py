"""Small models, their plans, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from string import digits
from typing import Any

import numpy as np
import tvm
from tvm import relax

from edgecompile.decision import Decision
from edgecompile.frontend.model import TensorSpec
from edgecompile.passes.layouts import PlanLayouts
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from tests.relax_models import constant, make_model, run_virtual_machine

FACTS = find_target("host,vector_bytes=32,vector_registers=16").cpu  # eight lanes, whatever the machine
X = TensorSpec("x", (1, 16, 9, 9), "float32")
RNG = np.random.default_rng(0)


def weight(*shape: int) -> tvm.ir.GenericConst:
    return constant(RNG.standard_normal(shape).astype(np.float32))


def conv(x: Any, out_channels: int, in_channels: int = 16, size: int = 3) -> Any:
    return relax.op.nn.conv2d(x, weight(out_channels, in_channels, size, size), padding=size // 2)


def plan(body: Callable[..., Any], *specs: TensorSpec) -> tuple[tvm.IRModule, tvm.IRModule, list[Decision]]:
    """The module before and after, and what was decided."""
    before = make_model(specs or (X,), body, ()).module
    decisions: list[Decision] = []
    return before, PlanLayouts(CpuImplementations(FACTS))(before, decisions), decisions


def callees(module: tvm.IRModule) -> Counter[str]:
    """How often each operator or kind of kernel is called; the numbers behind equal names do not count."""
    calls = [binding.value for block in module["main"].body.blocks for binding in block.bindings]
    return Counter(_callee(call) for call in calls if isinstance(call, relax.Call))


def _callee(call: relax.Call) -> str:
    if call.op.name == "relax.call_tir":
        return str(call.args[0].name_hint).rstrip(digits)
    return str(call.op.name).removeprefix("relax.")


def check_numbers(before: tvm.IRModule, after: tvm.IRModule) -> None:
    relax.analysis.well_formed(after)
    arrays = [
        RNG.standard_normal([int(n) for n in parameter.ty.shape]).astype(np.float32)
        for parameter in before["main"].params
    ]
    for got, want in zip(run_virtual_machine(after, *arrays), run_virtual_machine(before, *arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * max(1.0, float(np.abs(want).max())))
