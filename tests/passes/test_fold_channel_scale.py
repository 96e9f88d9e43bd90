"""`FoldChannelScale`."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.decision import Decision
from edgecompile.frontend.model import TensorSpec
from edgecompile.passes.fold_channel_scale import FoldChannelScale
from tests.passes.test_fold_batch_norm import assert_same_results, operators, uniform
from tests.relax_models import constant, make_model

X, Y = TensorSpec("x", (1, 3, 7, 5), "float32"), TensorSpec("y", (1, 4, 7, 5), "float32")


def fold(body: object) -> tuple[tvm.IRModule, tvm.IRModule]:
    module = make_model([X], body, [Y]).module
    decisions: list[Decision] = []
    result = FoldChannelScale()(module, decisions)
    relax.analysis.well_formed(result)
    assert bool(decisions) == (result is not module)
    return module, result


def convolution(b: relax.BlockBuilder, x: relax.Expr) -> relax.Var:
    return b.emit(relax.op.nn.conv2d(x, constant(uniform(4, 3, 3, 3)), padding=1), name_hint="layer")


@pytest.mark.parametrize("bias", [False, True])
def test_folds_what_follows_each_other(bias: bool) -> None:
    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        value = convolution(b, x)
        if bias:
            value = b.emit(relax.op.add(value, constant(uniform(1, 4, 1, 1))))
        factors = uniform(4, 1, 1) * np.array([1, -1, 0, 2], np.float32).reshape(4, 1, 1)
        value = b.emit(relax.op.multiply(constant(factors), value))
        value = b.emit(relax.op.subtract(value, constant(np.float32(0.5))))
        return b.emit(relax.op.divide(value, constant(uniform(1, 4, 1, 1))))

    before, after = fold(body)
    assert operators(after) == ["relax.nn.conv2d", "relax.add"]
    assert after["main"].body.blocks[0].bindings[0].var.name == "layer"
    assert_same_results(before, after, X.shape)


def test_what_others_read_stays() -> None:
    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        value = convolution(b, x)
        scaled = b.emit(relax.op.multiply(value, constant(uniform(1, 4, 1, 1))))
        return b.emit(relax.op.add(scaled, value))

    before, after = fold(body)
    assert after is before


@pytest.mark.parametrize("factor", [np.float32(np.inf), uniform(1, 4, 7, 5), uniform(1, 1, 1, 5)])
def test_no_factors_of_channels(factor: np.ndarray) -> None:
    before, after = fold(lambda b, x: b.emit(relax.op.multiply(convolution(b, x), constant(np.asarray(factor)))))
    assert after is before


def test_offsets_alone_stay() -> None:
    before, after = fold(lambda b, x: b.emit(relax.op.add(convolution(b, x), constant(uniform(1, 4, 1, 1)))))
    assert after is before
