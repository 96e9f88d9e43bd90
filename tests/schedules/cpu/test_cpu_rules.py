"""The CPU templates against TVM's own unscheduled kernels, on sizes that divide nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.s_tir.schedule import ScheduleError

from edgecompile.decision import Decision
from edgecompile.frontend.model import TensorSpec
from edgecompile.passes import lower, standard_phases
from edgecompile.schedule import kernels_of, schedule_kernels
from edgecompile.target import CpuFacts, Target
from schedules.cpu import CPU_RULES, LoopNest, RegisterTile
from schedules.cpu.register_tile import Config
from tests.relax_models import constant, make_model, run_virtual_machine

FACTS = {
    "sse": CpuFacts(16, 16, 1, 32 * 1024, 256 * 1024, 2, ()),
    "avx2": CpuFacts(32, 16, 2, 32 * 1024, 512 * 1024, 2, ()),
    "avx512": CpuFacts(64, 32, 2, 32 * 1024, 1024 * 1024, 2, ()),
}
RNG = np.random.default_rng(0)

Body = Callable[[relax.BlockBuilder, relax.Var], relax.Expr]


def target(facts: CpuFacts) -> Target:
    return Target("test", "host_cpu", "x86_64", "linux", "x86_64-linux-gnu", "x86-64", (), facts, (), "for tests")


def weights(*shape: int) -> tvm.ir.GenericConst:
    return constant(RNG.standard_normal(shape).astype(np.float32))


def convolution(channels: int, outputs: int, kernel: int, **options: object) -> Body:
    groups = int(str(options.get("groups", 1)))

    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        value = b.emit(relax.op.nn.conv2d(x, weights(outputs, channels // groups, kernel, kernel), **options))
        value = b.emit(relax.op.add(value, weights(1, outputs, 1, 1)))
        return relax.op.nn.relu(value)

    return body


CASES: dict[str, tuple[tuple[int, ...], Body, str]] = {
    "conv3x3": ((1, 7, 13, 11), convolution(7, 17, 3, padding=1), "RegisterTile"),
    "conv3x3_56": ((1, 16, 8, 56), convolution(16, 16, 3, padding=1), "RegisterTile"),
    "conv1x1": ((1, 31, 9, 28), convolution(31, 13, 1), "RegisterTile"),
    "conv_stride_2": ((1, 5, 15, 15), convolution(5, 12, 3, padding=1, strides=2), "RegisterTile"),
    "conv_stride_3_dilated": (
        (1, 8, 15, 15),
        convolution(8, 10, 3, strides=3, dilation=2, padding=(2, 1, 0, 3)),
        "any",
    ),
    "depthwise": ((1, 9, 14, 14), convolution(9, 9, 3, padding=1, groups=9), "RegisterTile"),
    "grouped": ((2, 8, 7, 7), convolution(8, 12, 3, padding=1, groups=4), "any"),
    "matmul": ((13, 37), lambda b, x: relax.op.matmul(x, weights(37, 29)), "RegisterTile"),
    "matmul_wide": ((12, 64), lambda b, x: relax.op.matmul(x, weights(64, 48)), "RegisterTile"),
    "matmul_row": ((1, 128), lambda b, x: relax.op.matmul(x, weights(128, 100)), "RegisterTile"),
    "batched_matmul": ((3, 10, 20), lambda b, x: relax.op.matmul(x, weights(3, 20, 18)), "RegisterTile"),
    "max_pool": ((1, 5, 17, 17), lambda b, x: relax.op.nn.max_pool2d(x, (3, 3), (2, 2), (1, 1)), "any"),
    "softmax": ((11, 101), lambda b, x: relax.op.nn.softmax(x), "rows"),
    "softmax_first_axis": ((101, 11), lambda b, x: relax.op.nn.softmax(x, axis=0), "LoopNest"),
    "mean_of_image": ((1, 33, 7, 7), lambda b, x: relax.op.mean(x, [2, 3]), "rows"),
    "layer_norm": ((5, 7, 96), lambda b, x: relax.op.nn.layer_norm(x, weights(96), weights(96), axes=[-1]), "rows"),
    "transpose": ((3, 70, 90), lambda b, x: relax.op.permute_dims(x, [2, 0, 1]), "transposition"),
    "scalar": ((), lambda b, x: relax.op.exp(x), "LoopNest"),
    "sum_of_all": ((5, 100), lambda b, x: relax.op.sum(x), "rows"),
    "large_vector": ((65536,), lambda b, x: relax.op.tanh(x), "LoopNest"),
    "no_elements": ((0, 4), lambda b, x: relax.op.exp(x), "LoopNest"),
}


@pytest.mark.parametrize("isa", FACTS)
@pytest.mark.parametrize("name", CASES)
def test_scheduled_kernel_computes_the_same(name: str, isa: str) -> None:
    shape, body, rule = CASES[name]
    model = make_model([TensorSpec("x", shape, "float32")], body, [TensorSpec("y", (), "float32")])
    lowered = lower(model.module, standard_phases(), tvm.target.Target("llvm"))
    decisions: list = []
    scheduled = schedule_kernels(kernels_of(lowered.module), CPU_RULES, target(FACTS[isa]), decisions)
    chosen = {decision.reason for decision in decisions}
    assert rule == "any" or rule in chosen
    module = tvm.IRModule(dict(lowered.module.functions))
    for kernel, function in scheduled.items():
        module.update_func(module.get_global_var(kernel), function)
    x = RNG.standard_normal(shape).astype(np.float32)
    (expected,), (found,) = run_virtual_machine(lowered.module, x), run_virtual_machine(module, x)
    # The same sums, in another order where they are taken along rows, and with other products contracted into fused
    # multiply-adds.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("isa", FACTS)
@pytest.mark.parametrize("rows", [1, 7, 12, 64, 197])
@pytest.mark.parametrize("columns", [2, 7, 14, 28, 56, 100, 768])
def test_tile_divides_the_extents_and_fits_the_registers(isa: str, rows: int, columns: int) -> None:
    facts = FACTS[isa]
    lanes = facts.vector_bytes // 4
    config = Config.choose(rows, columns, lanes, facts)
    assert rows % config.rows == 0
    assert columns % config.columns == 0
    assert config.rows * max(1, config.columns // lanes) <= facts.vector_registers


def test_register_tile_refuses_what_is_no_single_reduction() -> None:
    for body in (lambda b, x: relax.op.nn.softmax(x), lambda b, x: relax.op.exp(x)):
        model = make_model([TensorSpec("x", (64, 100), "float32")], body, [TensorSpec("y", (64, 100), "float32")])
        lowered = lower(model.module, standard_phases(), tvm.target.Target("llvm"))
        for kernel in kernels_of(lowered.module).values():
            assert RegisterTile().apply(kernel, target(FACTS["avx2"])) is None
            assert LoopNest().apply(kernel, target(FACTS["avx2"])) is not None


class Refused:
    """A rule whose template the scheduler refuses."""

    name = "Refused"

    def apply(self, kernel: tvm.tirx.PrimFunc, target: Target) -> tvm.s_tir.Schedule | None:
        raise ScheduleError("ScheduleError\nthe block is not to be found")


def test_a_refused_template_leaves_a_decision_and_the_next_rule_takes_the_kernel() -> None:
    model = make_model(
        [TensorSpec("x", (4, 8), "float32")], lambda b, x: relax.op.exp(x), [TensorSpec("y", (4, 8), "float32")]
    )
    kernels = kernels_of(lower(model.module, standard_phases(), tvm.target.Target("llvm")).module)
    decisions: list[Decision] = []
    assert schedule_kernels(kernels, (Refused(), LoopNest()), target(FACTS["avx2"]), decisions).keys() == kernels.keys()
    refused, taken = decisions
    assert (refused.step, refused.kept, refused.reason) == ("Refused", False, "the block is not to be found")
    assert (taken.step, taken.kept, taken.reason) == ("schedule", True, "LoopNest")
