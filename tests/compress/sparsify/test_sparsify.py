"""Zeros from recipe to artifact: the answers of the dense masked model bit for bit, and the bytes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import relax

import edgecompile as ec
from edgecompile.compress.model_file import read_model, write_model
from edgecompile.compress.recipe import Recipe
from edgecompile.compress.sparsify.describe import preview
from edgecompile.compress.sparsify.recipe import SparsifyStep
from edgecompile.compress.sparsify.step import NO_SPEED
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.frontend.model import Model, TensorSpec
from edgecompile.passes.layouts import workshop
from edgecompile.storage.insert_weights import with_dense_weights
from edgecompile.storage.operators import is_decode, stored_weight
from edgecompile.storage.stored_weight import SparseWeight
from edgecompile.zoo.digits import accuracy
from tests.relax_models import constant, make_model


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def network(**weights: np.ndarray) -> Model:
    """Every operator with weights, on input channels that 4 does not divide: 3 -> 20 -> 20 in 2 groups -> 20 depthwise
    -> 14 transposed in 2 groups -> 31 -> a line of 8 -> a product of 199 rows."""

    def body(builder: relax.BlockBuilder, x: relax.Var) -> list[Any]:
        def emit(value: relax.Expr, name: str) -> relax.Var:
            return builder.emit(value, name_hint=name)

        def weight(name: str, *shape: int) -> relax.Expr:
            return constant(weights.get(name, normal(*shape)))

        op = relax.op.nn
        x = emit(op.conv2d(x, weight("stem", 20, 3, 3, 3), padding=1), "stem")
        x = emit(op.conv2d(x, weight("grouped", 20, 10, 3, 3), padding=1, groups=2), "grouped")
        x = emit(op.conv2d(x, weight("depthwise", 20, 1, 3, 3), padding=1, groups=20), "depthwise")
        transposed = op.conv2d_transpose(x, weight("transposed", 20, 7, 4, 4), strides=2, padding=1, groups=2)
        x = emit(transposed, "transposed")
        x = emit(op.conv2d(x, weight("pointwise", 31, 14, 1, 1)), "pointwise")
        rows = emit(relax.op.reshape(x, (1, 31, 400)), "rows")
        line = emit(op.conv1d(rows, weight("line", 8, 31, 3)), "line")
        columns = emit(relax.op.reshape(line, (1, 199, 16)), "columns")
        return [op.relu(emit(relax.op.matmul(columns, weight("product", 16, 9)), "product"))]

    return make_model([TensorSpec("x", (1, 3, 10, 10), "float32")], body, [TensorSpec("y", (1, 199, 9), "float32")])


X = normal(1, 3, 10, 10)


def sparse_weights(model: Model) -> dict[str, SparseWeight]:
    found = {}
    for binding in model.module["main"].body.blocks[0].bindings:
        if is_decode(binding.value):
            weight = stored_weight(binding.value)
            assert isinstance(weight, SparseWeight)
            found[binding.var.name.removesuffix("_weight")] = weight
    return found


def decisions(model: Model) -> dict[str, str]:
    return {decision.subject: decision.reason for decision in model.history[-1].decisions}


def dense(model: Model) -> Model:
    return dataclasses.replace(model, module=with_dense_weights(model.module))


def test_the_same_bits_as_the_dense_masked_model(tmp_path: Path) -> None:
    """By way of a file. Without Winograd, whose weights are transformed at load in another precision."""
    write_model(ec.compress(network(), "sparse,sparsity=0.8"), tmp_path / "small.ec")
    small = read_model(tmp_path / "small.ec")
    sparse = ec.compile(small, out=tmp_path / "sparse", embed_weights=True, threads=2, prefer="size")
    plain = ec.compile(dense(small), out=tmp_path / "plain", threads=2, prefer="size")
    np.testing.assert_array_equal(sparse.run(X)[0], plain.run(X)[0])
    stored = sum(weight.nbytes for weight in sparse_weights(small).values())
    assert stored < 0.25 * network().weight_bytes and small.weight_bytes == stored
    assert sparse.manifest.weight_bytes < 0.3 * plain.manifest.weight_bytes
    assert sparse.manifest.decoded_bytes > 0.9 * plain.manifest.weight_bytes
    assert not [step.kernel for step in sparse.report.steps if "decode" in step.kernel]
    (subject,) = (d.reason for d in sparse.report.decisions if d.subject == "pointwise_stored")
    assert subject.startswith("a bitmask, ") and subject.endswith("when it is opened")


@pytest.mark.board
def test_an_emulated_board_decodes_the_same(tmp_path: Path) -> None:
    small = ec.compress(network(), "sparse,sparsity=0.8")
    ec.compile(small, "rpi5", out=tmp_path / "sparse", prefer="size")
    ec.compile(dense(small), "rpi5", out=tmp_path / "plain", prefer="size")
    with ec.open(tmp_path / "sparse", emulate=True) as sparse, ec.open(tmp_path / "plain", emulate=True) as plain:
        assert sparse.manifest.weight_bytes < 0.3 * plain.manifest.weight_bytes
        np.testing.assert_array_equal(sparse.run(X)[0], plain.run(X)[0])


def test_two_of_four_along_input_channels() -> None:
    found = sparse_weights(ec.compress(network(), "sparse,pattern=2:4"))
    assert "depthwise" not in found  # one input channel
    axes = {"stem": 1, "grouped": 1, "transposed": 0, "pointwise": 1, "line": 1, "product": 0}
    assert found.keys() == axes.keys()
    for name, axis in axes.items():
        kept = np.moveaxis(found[name].mask, axis, -1)
        groups = [kept] if name != "transposed" else np.split(kept, 2, axis=-1)
        for group in groups:
            for start in range(0, group.shape[-1], 4):
                run = group[..., start : start + 4]
                assert (run.sum(axis=-1) == min(2, run.shape[-1])).all(), name


def test_a_preview_says_the_same_bytes() -> None:
    model = network()
    for text in ("sparse,pattern=2:4", "sparse,sparsity=0.6,scope=uniform"):
        (step,) = Recipe.parse(text).steps
        assert isinstance(step, SparsifyStep)
        small = ec.compress(model, text)
        for row in preview(model, step):
            if row.layer in sparse_weights(small):
                reason = decisions(small)[row.layer]
                # A group of a transposed convolution ends where its input channels do; the preview does not count that.
                assert f": {row.weight_bytes} bytes" in reason or row.layer == "transposed", reason


def test_what_saves_nothing_stays_and_says_so() -> None:
    small = ec.compress(network(), "sparse,pattern=2:4")
    assert decisions(small)["depthwise"] == "stays as it is: with 0.0% zeros, 720 to 743 bytes would save nothing"
    assert decisions(small)["net"] == NO_SPEED
    with pytest.raises(InvalidRecipeError, match="changed nothing: stays as it is"):
        ec.compress(network(), "sparse,sparsity=0.01,scope=uniform")


def test_rules_and_figures() -> None:
    step = {"kind": "sparsify", "layers": {"stem": {"sparsity": 0.5}, "line": {"pattern": "1:4"}}}
    small = ec.compress(network(), {"steps": [step]})
    assert sparse_weights(small).keys() == {"stem", "line"}
    assert decisions(small)["product"] == "the recipe leaves it as it is"
    assert small.history[-1].figures["stem"] == {"zeros": 0.5, "bytes before": 2160.0, "bytes": 1148.0}


def test_zeros_that_were_there_are_the_first_to_go(tmp_path: Path) -> None:
    zeros = np.zeros((31, 14, 1, 1), np.float32)
    half = normal(8, 31, 3)
    half[:, ::2] = 0
    small = ec.compress(network(pointwise=zeros, line=half), "sparse,sparsity=0.5,scope=uniform")
    found = sparse_weights(small)
    assert found["pointwise"].values.tolist() == [0.0] and not found["pointwise"].decode().any()
    np.testing.assert_array_equal(found["line"].decode(), half)
    artifact = ec.compile(small, out=tmp_path / "net")
    assert not artifact.run(X)[0].any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_name_their_layer(value: float) -> None:
    weight = normal(16, 9)
    weight[3, 3] = value
    with pytest.raises(InvalidRecipeError, match="layer 'product' has weights that are NaN or infinite: skip it"):
        ec.compress(network(product=weight), "sparse,sparsity=0.5")
    assert "product" not in sparse_weights(ec.compress(network(product=weight), "sparse,sparsity=0.5,skip=product"))


def two_products() -> Model:
    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        hidden = builder.emit(relax.op.matmul(x, constant(np.ones((4, 6), np.float32))), name_hint="first")
        return relax.op.nn.relu(builder.emit(relax.op.matmul(hidden, constant(normal(6, 4))), name_hint="head"))

    return make_model([TensorSpec("x", (2, 4), "float32")], body, [TensorSpec("y", (2, 4), "float32")])


def test_wanda_keeps_what_loud_inputs_are_multiplied_by() -> None:
    """Of equal weights, those of the loudest two of four input channels stay, whatever the magnitude says."""
    data = [np.array([[1, -9, 2, 3]] * 2, np.float32), np.array([[-1, 9, -2, 3]] * 2, np.float32)]
    small = ec.compress(two_products(), "sparse,sparsity=0.5,scope=uniform,importance=wanda", data)
    mask = sparse_weights(small)["first"].mask
    assert mask.any(axis=1).tolist() == [False, True, False, True] and mask.sum() == 12
    with pytest.raises(InvalidInputError, match="wanda needs calibration data, found none"):
        ec.compress(two_products(), "sparse,sparsity=0.5,importance=wanda")
    broken = [np.full((2, 4), 3e38, np.float32)]  # the first product's sums are beyond float32
    with pytest.raises(InvalidInputError, match="layer 'head' reads NaN or infinite values"):
        ec.compress(two_products(), "sparse,sparsity=0.5,importance=wanda", broken)


def test_twice_and_some_layers_in_integers() -> None:
    twice = ec.compress(two_products(), "sparse,sparsity=0.5,scope=uniform+sparse,sparsity=0.75,scope=uniform")
    assert [weight.values.size for weight in sparse_weights(twice).values()] == [6, 6]
    mixed = ec.compress(two_products(), "sparse,sparsity=0.75,scope=uniform+int8,skip=head", [normal(2, 4)])
    assert sparse_weights(mixed).keys() == {"head"}
    assert "quantize" in [layer.operator for layer in mixed.layers]


def test_the_order_of_steps() -> None:
    """What changes shapes comes first, integers last."""
    for recipe in ("sparse,sparsity=0.5+depth,blocks=1", "int8+sparse,sparsity=0.5"):
        with pytest.raises(InvalidRecipeError, match="has to come before"):
            ec.compress(two_products(), recipe, [normal(2, 4)])
    sparse = ec.compress(two_products(), "sparse,sparsity=0.5")
    with pytest.raises(InvalidRecipeError, match=r"'depth' needs whole weights, found those of 2 .* before 'sparse'"):
        ec.compress(sparse, "depth,blocks=1")
    quantized = ec.compress(two_products(), "int8", [normal(2, 4)])
    with pytest.raises(InvalidRecipeError, match=r"sparsify needs a float model, found .* let it come first"):
        ec.compress(quantized, "sparse,sparsity=0.5")


def test_other_storage_takes_the_place_of_a_bitmask() -> None:
    small = ec.compress(two_products(), "sparse,sparsity=0.5,scope=uniform+fp16")
    assert "its zeros are stored too, in as many bits as its other weights" in [
        decision.reason for decision in small.history[-1].decisions if decision.subject == "head"
    ]
    weights = [
        stored_weight(b.value).decode() for b in small.module["main"].body.blocks[0].bindings if is_decode(b.value)
    ]
    assert [(weight == 0).mean() for weight in weights] == [0.5, 0.5]


def test_zeros_stay_zeros_in_int8_and_are_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a convolution and a product: the bits of weights that are stored whole, in fewer bytes."""

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        x = builder.emit(relax.op.nn.conv2d(x, constant(normal(40, 24, 3, 3)), padding=1), name_hint="window")
        x = builder.emit(relax.op.nn.relu(x), name_hint="relu")
        x = builder.emit(relax.op.reshape(x, (2, 40 * 36)), name_hint="flat")
        return builder.emit(relax.op.matmul(x, constant(normal(1440, 32))), name_hint="head")

    model = make_model([TensorSpec("x", (2, 24, 6, 6), "float32")], body, [TensorSpec("y", (2, 32), "float32")])
    data = [normal(2, 24, 6, 6)]
    small = ec.compress(model, "sparse,sparsity=0.8,scope=uniform+int8", data)
    sparse = ec.compile(small, out=tmp_path / "sparse")
    with monkeypatch.context() as patch:
        patch.setattr(workshop, "pays", lambda weight: False)
        full = ec.compile(small, out=tmp_path / "full")
    assert sparse.manifest.weight_bytes < 0.5 * full.manifest.weight_bytes
    decoded = [d.reason for d in sparse.report.decisions if d.step == "DecodeWeights" and "int8" in d.reason]
    assert len(decoded) == 2 and all("when it is opened" in reason for reason in decoded)
    np.testing.assert_array_equal(sparse.run(data[0])[0], full.run(data[0])[0])


def test_dynamic_shapes_decode_too(tmp_path: Path) -> None:
    weight = normal(8, 5)
    spec = TensorSpec("x", ("n", 8), "float32")
    model = make_model(
        [spec], lambda b, x: relax.op.matmul(x, constant(weight)), [TensorSpec("y", ("n", 5), "float32")]
    )
    small = ec.compress(model, "sparse,sparsity=0.5")
    with pytest.warns(UserWarning, match="virtual machine"):
        artifact = ec.compile(small, out=tmp_path / "net")
    (found,) = sparse_weights(small).values()
    assert found.values.size == 20 and np.isin(found.values, weight).all()
    x = normal(3, 8)
    np.testing.assert_allclose(artifact.run(x)[0], x @ found.decode(), rtol=1e-5, atol=1e-5)


def test_digits(tmp_path: Path) -> None:
    model = ec.load("zoo:digits_resnet")
    small = ec.compress(model, "sparse,sparsity=0.5")
    artifact = ec.compile(small, out=tmp_path / "net")
    assert artifact.manifest.weight_bytes <= 0.55 * model.weight_bytes
    assert accuracy(lambda x: artifact.run(x)[0]) >= 0.988
