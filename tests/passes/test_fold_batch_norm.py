"""`FoldBatchNorm`."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.decision import Decision
from edgecompile.frontend.model import Model, TensorSpec
from edgecompile.passes.fold_batch_norm import FoldBatchNorm
from tests.relax_models import constant, make_model, run_virtual_machine

X = TensorSpec("x", (1, 3, 7, 5), "float32")
Y = TensorSpec("y", (1, 4, 7, 5), "float32")
RNG = np.random.default_rng(0)


def uniform(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 1.5, shape).astype(np.float32)


def batch_norm(builder: relax.BlockBuilder, value: relax.Expr, channels: int = 4, **options: object) -> relax.Expr:
    statistics = [constant(uniform(channels)) for _ in range(4)]
    arguments = {"axis": 1, "training": False, **options}
    result = builder.emit(relax.op.nn.batch_norm(value, *statistics, **arguments), name_hint="norm")
    return builder.emit(relax.TupleGetItem(result, 0))


def fold(model: Model) -> tuple[tvm.IRModule, list[Decision]]:
    decisions: list[Decision] = []
    module = FoldBatchNorm()(model.module, decisions)
    relax.analysis.well_formed(module)
    return relax.transform.DeadCodeElimination()(module), decisions


def operators(module: tvm.IRModule) -> list[str]:
    bindings = [binding for block in module["main"].body.blocks for binding in block.bindings]
    return [b.value.op.name for b in bindings if isinstance(b.value, relax.Call)]


def assert_same_results(before: tvm.IRModule, after: tvm.IRModule, shape: tuple[int, ...]) -> None:
    x = RNG.standard_normal(shape).astype(np.float32)
    for a, b in zip(run_virtual_machine(before, x), run_virtual_machine(after, x), strict=True):
        # float32 products are rounded in another place; the results are of the order of 10.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_folds_into_convolution(bias: bool) -> None:
    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        value = b.emit(relax.op.nn.conv2d(x, constant(uniform(4, 3, 3, 3)), padding=1))
        if bias:
            value = b.emit(relax.op.add(value, constant(uniform(1, 4, 1, 1))))
        return batch_norm(b, value)

    model = make_model([X], body, [Y])
    module, decisions = fold(model)
    assert operators(module) == ["relax.nn.conv2d", "relax.add"]
    assert decisions == [Decision("FoldBatchNorm", "norm", True, "folded into the weights of nn.conv2d")]
    assert_same_results(model.module, module, X.shape)


def test_folds_into_grouped_and_transposed_convolutions() -> None:
    spec = TensorSpec("x", (1, 4, 6, 6), "float32")

    def grouped(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        return batch_norm(b, b.emit(relax.op.nn.conv2d(x, constant(uniform(4, 1, 3, 3)), groups=4)))

    def transposed(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        weight = constant(uniform(4, 5, 3, 3))
        return batch_norm(b, b.emit(relax.op.nn.conv2d_transpose(x, weight, strides=2)), channels=5)

    for body, operator in ((grouped, "relax.nn.conv2d"), (transposed, "relax.nn.conv2d_transpose")):
        model = make_model([spec], body, [Y])
        module, _ = fold(model)
        assert operators(module) == [operator, "relax.add"]
        assert_same_results(model.module, module, spec.shape)


def test_convolution_with_other_readers_keeps_its_weights() -> None:
    def body(b: relax.BlockBuilder, x: relax.Var) -> list[relax.Expr]:
        value = b.emit(relax.op.nn.conv2d(x, constant(uniform(4, 3, 1, 1))))
        return [batch_norm(b, value), value]

    model = make_model([X], body, [Y, TensorSpec("z", Y.shape, "float32")])
    module, decisions = fold(model)
    assert operators(module) == ["relax.nn.conv2d", "relax.multiply", "relax.add"]
    assert decisions[0].reason == "multiplied and added at run time: the value before it has other readers"
    assert_same_results(model.module, module, X.shape)


def test_alone_becomes_multiply_and_add() -> None:
    model = make_model([X], lambda b, x: batch_norm(b, x, channels=3), [X])
    module, decisions = fold(model)
    assert operators(module) == ["relax.multiply", "relax.add"]
    assert decisions[0].kept
    assert_same_results(model.module, module, X.shape)


def test_bias_across_other_axes_is_not_folded() -> None:
    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        value = b.emit(relax.op.nn.conv2d(x, constant(uniform(5, 3, 1, 1))))
        return batch_norm(b, b.emit(relax.op.add(value, constant(uniform(1, 1, 1, 5)))), channels=5)

    model = make_model([X], body, [Y])
    module, decisions = fold(model)
    assert "does not follow its channels" in decisions[0].reason
    assert_same_results(model.module, module, X.shape)


@pytest.mark.parametrize(("options", "reason"), [({"training": True}, "training mode")])
def test_training_mode_is_left_alone(options: dict[str, object], reason: str) -> None:
    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        return batch_norm(b, b.emit(relax.op.nn.conv2d(x, constant(uniform(4, 3, 1, 1)))), **options)

    model = make_model([X], body, [Y])
    module, decisions = fold(model)
    assert operators(module) == ["relax.nn.conv2d", "relax.nn.batch_norm"]
    assert not decisions[0].kept
    assert reason in decisions[0].reason


def test_the_input_module_is_not_changed() -> None:
    model = make_model([X], lambda b, x: batch_norm(b, x, channels=3), [X])
    text = model.module.script(show_meta=False)
    fold(model)
    assert model.module.script(show_meta=False) == text
