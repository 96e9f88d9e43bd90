"""Plans of lowered modules."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.errors import CompilerBugError
from edgecompile.frontend.model import Model, TensorSpec
from edgecompile.passes import lower, standard_phases
from edgecompile.plan import ExecutionPlan, build_plan
from edgecompile.plan.static_program import why_not_static
from tests.relax_models import constant, make_model

X = TensorSpec("x", (4, 8), "float32")
Y = TensorSpec("y", (4, 8), "float32")


def plan_of(model: Model, scratch_bytes: dict[str, int] | None = None) -> ExecutionPlan:
    lowered = lower(model.module, standard_phases(), tvm.target.Target("llvm"))
    return build_plan(
        lowered.module,
        name=model.name,
        inputs=model.inputs,
        outputs=model.outputs,
        scratch_bytes=scratch_bytes or {},
        origins=lowered.origins,
    )


def test_chain_reads_input_and_writes_output() -> None:
    weight = constant(np.ones((8, 8), np.float32))
    model = make_model(
        [X], lambda b, x: relax.op.nn.softmax(b.emit(relax.op.matmul(x, weight), name_hint="product")), [Y]
    )
    plan = plan_of(model)
    first, last = plan.calls[0], plan.calls[-1]
    assert first.operands[0].space == "input"
    assert first.layers == ("product",)
    assert first.operators == ("matmul",)
    assert [o.space for o in first.operands] == ["input", "constant", "arena"]
    assert last.operands[-1].space == "output"
    assert plan.constants.data == np.ones((8, 8), np.float32).tobytes()


def test_equal_constants_are_stored_once() -> None:
    tied = np.arange(64, dtype=np.float32).reshape(8, 8)
    model = make_model(
        [X],
        lambda b, x: relax.op.matmul(b.emit(relax.op.matmul(x, constant(tied))), constant(tied.copy())),
        [Y],
    )
    plan = plan_of(model)
    assert len(plan.constants.data) == tied.nbytes
    assert plan.calls[0].operands[1] == plan.calls[1].operands[1]


def test_reshape_is_a_view() -> None:
    flat = TensorSpec("flat", (32,), "float32")

    def body(b: relax.BlockBuilder, x: relax.Var) -> list[relax.Expr]:
        product = b.emit(relax.op.nn.softmax(x))
        return [b.emit(relax.op.nn.softmax(b.emit(relax.op.reshape(product, (32,)))))]

    plan = plan_of(make_model([X], body, [flat]))
    assert len(plan.calls) == 2
    assert plan.calls[0].operands[-1] == plan.calls[1].operands[0]


def test_scratch_lives_for_one_call_and_overlaps_nothing_alive() -> None:
    weight = constant(np.ones((8, 8), np.float32))
    model = make_model([X], lambda b, x: relax.op.nn.softmax(b.emit(relax.op.matmul(x, weight))), [Y])
    plan = plan_of(model, {"matmul": 1000})
    call = plan.calls[0]
    assert call.scratch is not None
    assert call.scratch.size_bytes == 1000
    result = call.operands[-1]
    assert (
        call.scratch.position >= result.position + result.size_bytes or call.scratch.position + 1000 <= result.position
    )
    assert plan.calls[1].scratch is None


def test_outputs_without_a_kernel_of_their_own_are_refused() -> None:
    model = make_model([X], lambda b, x: [x], [Y])
    with pytest.raises(CompilerBugError, match="MaterializeOutputs"):
        build_plan(model.module, name="net", inputs=model.inputs, outputs=model.outputs, scratch_bytes={}, origins={})


def test_dynamic_shapes_are_no_static_plan() -> None:
    spec = TensorSpec("x", ("n", 8), "float32")
    model = make_model([spec], lambda b, x: relax.op.nn.relu(x), [TensorSpec("y", ("n", 8), "float32")])
    lowered = lower(model.module, standard_phases(), tvm.target.Target("llvm"))
    reason = why_not_static(lowered.module)
    assert reason is not None
    assert "'x'" in reason


def test_a_kernel_that_calls_the_runtime_needs_the_virtual_machine() -> None:
    model = make_model([X], lambda b, x: relax.op.exp(x), [Y])
    module = lower(model.module, standard_phases(), tvm.target.Target("llvm")).module
    assert why_not_static(module) is None
    (kernel,) = (variable for variable in module.get_global_vars() if variable.name_hint != "main")
    call = tvm.tirx.Evaluate(tvm.tirx.call_packed("tvm.contrib.sort.sort", 1))
    module.update_func(kernel, module[kernel].with_body(call))
    reason = why_not_static(module)
    assert reason is not None and kernel.name_hint in reason and "tvm.contrib.sort.sort" in reason
