"""Costs that are known without building a module are those of the module that is built."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

import edgecompile as ec
from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.costs import Cost, Costs
from edgecompile.compress.prune.rewrite import kept_without, remove
from edgecompile.frontend.model import Model, TensorSpec
from tests.compress.prune.test_find import NETWORKS, load
from tests.relax_models import constant, make_model

ZOO = ("zoo:digits_resnet", "zoo:digits_mobilenet", "zoo:bert_tiny", "zoo:keyword_spotting")


def cost_of(model: Model) -> Cost:
    return Cost(model.macs, model.params, model.weight_bytes)


def check(model: Model, seed: int) -> None:
    groups = find_groups(model.module)
    costs = Costs(model.module, groups)
    assert len(groups) and costs.whole == cost_of(model)
    generator = np.random.default_rng(seed)
    removed = {g.name: generator.permutation(g.channels)[: generator.integers(g.channels)] for g in groups}
    expected = cost_of(dataclasses.replace(model, module=remove(model.module, groups, removed)))
    assert costs.of(kept_without(groups, removed)) == expected
    assert costs.of_counts(costs.channels - [len(removed[group.name]) for group in groups]) == expected
    assert expected.params < costs.whole.params or not any(len(channels) for channels in removed.values())


@pytest.mark.parametrize("name", ZOO)
def test_networks_of_the_zoo(name: str) -> None:
    check(ec.load(name), seed=0)


@pytest.fixture(scope="module", params=NETWORKS)
def tied(request: pytest.FixtureRequest) -> Model:
    """One of the networks with all kinds of ties between channels."""
    return load(request.param)[0]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1 << 16))
def test_any_channels_of_tied_layers(tied: Model, seed: int) -> None:
    check(tied, seed)


def test_transposed_convolutions_tied_weights_and_unknown_operators() -> None:
    """One matrix is read twice, one vector by two layers of which one loses channels, and by an unknown operator."""
    generator = np.random.default_rng(0)
    kernel, transposed = (generator.standard_normal(shape).astype(np.float32) for shape in ((8, 4, 3, 3), (8, 4, 2, 2)))
    matrix = constant(generator.standard_normal((6, 6)).astype(np.float32))
    vector = constant(generator.standard_normal((1, 4, 1, 1)).astype(np.float32))

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        x = builder.emit(relax.op.add(x, vector))
        x = builder.emit(relax.op.nn.conv2d(x, constant(kernel), padding=1))
        x = builder.emit(relax.op.nn.conv2d_transpose(x, constant(transposed), strides=2))
        x = builder.emit(relax.op.nn.conv2d(x, constant(kernel[:4].copy())))
        x = builder.emit(relax.op.add(x, vector))
        x = builder.emit(relax.op.nn.conv2d(x, constant(kernel[:2].copy())))
        x = builder.emit(relax.op.matmul(x, matrix))
        x = builder.emit(relax.op.matmul(x, matrix))
        unknown = builder.emit(relax.op.sort(vector))
        return builder.emit(relax.op.add(x, builder.emit(relax.op.sum(unknown))))

    specs = [TensorSpec("x", (1, 4, 5, 5), "float32")]
    check(make_model(specs, body, [TensorSpec("y", (1, 2, 6, 6), "float32")]), seed=2)


def test_tied_weights_stay_one_constant() -> None:
    matrix = constant(np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32))
    first, last = (constant(np.ones(shape, np.float32)) for shape in ((3, 6), (6, 2)))

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        for weight in (first, matrix, matrix, last):
            x = builder.emit(relax.op.matmul(x, weight))
        return x

    model = make_model([TensorSpec("x", (5, 3), "float32")], body, [TensorSpec("y", (5, 2), "float32")])
    groups = find_groups(model.module)
    assert [group.channels for group in groups] == [6]
    module: tvm.IRModule = remove(model.module, groups, {next(iter(groups)).name: np.array([1, 4])})
    assert dataclasses.replace(model, module=module).params == 3 * 4 + 4 * 4 + 4 * 2
    check(model, seed=3)
