"""The pipeline as a whole: dumps, checks, outputs, origins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.decision import Decision
from edgecompile.errors import CompilerBugError
from edgecompile.frontend.model import Model, TensorSpec
from edgecompile.passes import Phase, lower, standard_phases
from edgecompile.passes.pipeline import TvmPass
from edgecompile.plan import Origin
from edgecompile.plan.static_program import read_static_program
from edgecompile.target import find_target
from targets.cpu.pipeline import phases
from tests.relax_models import constant, make_model, run_virtual_machine

TARGET = tvm.target.Target("llvm")
X = TensorSpec("x", (2, 6), "float32")


def dense(builder: relax.BlockBuilder, value: relax.Expr, name: str) -> relax.Expr:
    weight = constant(np.eye(6, dtype=np.float32))
    product = builder.emit(relax.op.matmul(value, weight), name_hint=f"{name}_matmul")
    return builder.emit(relax.op.nn.relu(product), name_hint=f"{name}_relu")


def two_layers() -> Model:
    return make_model([X], lambda b, x: dense(b, dense(b, x, "first"), "second"), [X])


def test_epilogues_are_fused_and_equal_groups_keep_their_own_names() -> None:
    lowered = lower(two_layers().module, standard_phases(), TARGET)
    calls = read_static_program(lowered.module).calls
    assert [call.kernel for call in calls] == ["fused_matmul_relu", "fused_matmul_relu"]
    origins = [lowered.origins[call.variable] for call in calls]
    assert [origin.layers for origin in origins] == [("first_matmul", "first_relu"), ("second_matmul", "second_relu")]
    assert [origin.operators for origin in origins] == [("matmul", "nn.relu"), ("matmul", "nn.relu")]


def test_dump_writes_one_file_per_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECOMPILE_DUMP_IR", str(tmp_path / "ir"))
    lower(two_layers().module, standard_phases(), TARGET)
    names = sorted(path.name for path in (tmp_path / "ir").iterdir())
    assert names == ["00-integers.py", "01-simplify.py", "02-legalize.py", "03-fuse.py", "04-kernels.py"]
    assert "relax.matmul" not in (tmp_path / "ir" / "04-kernels.py").read_text()
    assert "R.call_tir" in (tmp_path / "ir" / "04-kernels.py").read_text()


def test_progress_hears_every_phase() -> None:
    heard: list[str] = []
    lower(two_layers().module, standard_phases(), TARGET, heard.append)
    assert heard == ["integers", "simplify", "legalize", "fuse", "kernels"]


def test_a_pass_that_breaks_the_module_is_named() -> None:
    def break_module(module: tvm.IRModule, context: object) -> tvm.IRModule:
        stray = relax.Var("stray", relax.TensorType((2, 6), "float32"))
        main = module["main"]
        function = relax.Function(main.params, relax.SeqExpr([], stray), main.ret_ty)
        module.update_func(module.get_global_var("main"), function)
        return module

    vandal = TvmPass("Vandal", lambda: tvm.transform.module_pass(break_module, opt_level=0))
    with pytest.raises(CompilerBugError, match="Vandal"):
        lower(two_layers().module, [Phase("broken", "for the test", (vandal,))], TARGET)


def test_outputs_that_share_a_value_are_copied() -> None:
    flat = TensorSpec("flat", (12,), "float32")

    def body(b: relax.BlockBuilder, x: relax.Var) -> list[relax.Expr]:
        value = b.emit(relax.op.nn.relu(x))
        return [value, b.emit(relax.op.reshape(value, (12,))), x, constant(np.ones((2, 6), np.float32))]

    model = make_model([X], body, [X, flat, X, X])
    lowered = lower(model.module, standard_phases(), TARGET)
    copies = [d for d in lowered.decisions if d.step == "MaterializeOutputs"]
    assert [d.subject for d in copies] == ["output 1", "output 2", "output 3"]
    x = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    for a, b in zip(run_virtual_machine(model.module, x), run_virtual_machine(lowered.module, x), strict=True):
        np.testing.assert_array_equal(a, b)


def test_constant_expressions_are_computed_at_compile_time() -> None:
    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        weight = b.emit(relax.op.permute_dims(constant(np.arange(36, dtype=np.float32).reshape(6, 6))))
        return relax.op.matmul(x, weight)

    lowered = lower(make_model([X], body, [X]).module, standard_phases(), TARGET)
    assert [call.kernel for call in read_static_program(lowered.module).calls] == ["matmul"]


def test_dead_code_and_common_subexpressions_vanish() -> None:
    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        b.emit(relax.op.nn.softmax(x))  # nobody reads it
        left = b.emit(relax.op.nn.softmax(x, axis=0))
        right = b.emit(relax.op.nn.softmax(x, axis=0))
        return relax.op.add(left, right)

    decisions: list[Decision] = lower(make_model([X], body, [X]).module, standard_phases(), TARGET).decisions
    assert decisions == []
    lowered = lower(make_model([X], body, [X]).module, standard_phases(), TARGET)
    kernels = [call.kernel for call in read_static_program(lowered.module).calls]
    assert len([kernel for kernel in kernels if "softmax" in kernel]) == 1


def test_siblings_that_differ_in_their_weights_alone_keep_their_own_names() -> None:
    weights = {"left": 1.0, "middle": 2.0, "right": 3.0}

    def body(b: relax.BlockBuilder, x: relax.Var) -> list[relax.Expr]:
        branches = []
        for name, value in weights.items():
            product = b.emit(
                relax.op.matmul(x, constant(np.full((6, 6), value, np.float32))), name_hint=f"{name}_matmul"
            )
            branches.append(b.emit(relax.op.nn.relu(product), name_hint=f"{name}_relu"))
        return branches

    lowered = lower(make_model([X], body, [X, X, X]).module, standard_phases(), TARGET)
    named = {}
    for call in read_static_program(lowered.module).calls:
        weight = call.arguments[1].constant
        assert weight is not None
        named[lowered.origins[call.variable].layers] = float(weight[0, 0])
    assert named == {(f"{name}_matmul", f"{name}_relu"): value for name, value in weights.items()}


def test_an_output_that_gets_another_name_keeps_its_layers() -> None:
    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        product = b.emit(relax.op.matmul(x, constant(np.ones((6, 6), np.float32))), name_hint="product")
        return b.emit(relax.op.add(product, constant(np.ones(6, np.float32))), name_hint="dense")

    # The planner of layouts names the outputs anew.
    lowered = lower(make_model([X], body, [X]).module, phases(find_target("host")), TARGET)
    (call,) = read_static_program(lowered.module).calls
    assert lowered.origins[call.variable] == Origin(("matmul", "add"), ("product", "dense"), "matmul")
