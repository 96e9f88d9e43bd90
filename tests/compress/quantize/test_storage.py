"""Weights in fewer bits from recipe to artifact: the answers of the float program on decoded weights, and the bytes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm_ffi.structural import structural_mutate

import edgecompile as ec
from edgecompile.artifact.artifact import Artifact
from edgecompile.compress.model_file import read_model, write_model
from edgecompile.errors import InvalidModelError, InvalidRecipeError
from edgecompile.frontend.model import Model, TensorSpec
from edgecompile.storage.operators import DECODE, is_decode, stored_weight
from edgecompile.zoo.digits import accuracy
from tests.relax_models import constant, make_model


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def network() -> Model:
    """Every operator with weights, on sizes that do not fill vectors: 3 -> 20 -> 20 in 2 groups -> 20 depthwise ->
    12 transposed -> Winograd's 32 -> 32 -> a product of 7 rows."""

    def body(builder: relax.BlockBuilder, x: relax.Var) -> list[Any]:
        def emit(value: relax.Expr, name: str) -> relax.Var:
            return builder.emit(value, name_hint=name)

        op = relax.op.nn
        x = emit(op.conv2d(x, constant(normal(20, 3, 3, 3)), padding=1), "stem")
        x = emit(op.conv2d(x, constant(normal(20, 10, 3, 3)), padding=1, groups=2), "grouped")
        x = emit(op.conv2d(x, constant(normal(20, 1, 3, 3)), padding=1, groups=20), "depthwise")
        x = emit(op.conv2d_transpose(x, constant(normal(20, 12, 4, 4)), strides=2, padding=1), "transposed")
        x = emit(op.conv2d(x, constant(normal(32, 12, 1, 1))), "pointwise")
        x = emit(op.conv2d(x, constant(normal(32, 32, 3, 3)), padding=1), "winograd")
        rows = emit(relax.op.reshape(x, (1, 32, 400)), "rows")
        line = emit(op.conv1d(rows, constant(normal(8, 32, 3))), "line")
        columns = emit(relax.op.reshape(line, (1, 199, 16)), "columns")
        return [relax.op.nn.relu(emit(relax.op.matmul(columns, constant(normal(16, 9))), "product"))]

    return make_model([TensorSpec("x", (1, 3, 10, 10), "float32")], body, [TensorSpec("y", (1, 199, 9), "float32")])


def with_floats(model: Model) -> Model:
    """The same with the decoded weights as constants."""
    main = model.module["main"]

    def on_call(call: relax.Call, mutator: Any) -> relax.Expr:
        return relax.const(stored_weight(call).decode()) if is_decode(call) else mutator.default_mutate(call)

    body = structural_mutate(main.body, ((tvm.ir.Call, on_call),))
    function = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    module = tvm.IRModule({model.module.get_global_var("main"): function}, attrs=model.module.attrs)
    return dataclasses.replace(model, module=relax.transform.CanonicalizeBindings()(module))


@dataclass(frozen=True)
class Compiled:
    """The network with stored weights, and with the same as floats."""

    model: Model
    stored: Artifact
    plain: Artifact


RECIPE = {
    "kind": "quantize",
    "default": {"weights": {"dtype": "int4"}, "activations": {"dtype": "none"}, "calibration": None},
    "layers": {
        "stem": {"weights": {"dtype": "float16"}},
        "grouped": {"weights": {"method": "codebook", "bits": 3}},
        "depthwise": {"weights": {"method": "power_of_two"}},
        "transposed": {"weights": {"dtype": "int8", "symmetric": False}},
        "pointwise": {"weights": {"dtype": "bfloat16"}},
        "line": {"weights": {"method": "codebook", "granularity": "per_tensor"}},
        "product": {"weights": {"granularity": "per_group", "group_size": 4}},
    },
}


def compiled(recipe: dict[str, object], folder: Path) -> Compiled:
    """By way of a file."""
    write_model(ec.compress(network(), {"steps": [recipe]}), folder / "small.ec")
    small = read_model(folder / "small.ec")
    stored = ec.compile(small, out=folder / "stored", embed_weights=True, threads=2)
    return Compiled(small, stored, ec.compile(with_floats(small), out=folder / "plain"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compiled(RECIPE, tmp_path_factory.mktemp("stored"))


X = normal(1, 3, 10, 10)


def stored_bytes(model: Model) -> int:
    bindings = model.module["main"].body.blocks[0].bindings
    return sum(stored_weight(binding.value).nbytes for binding in bindings if is_decode(binding.value))


def test_the_answers_of_decoded_weights(mixed: Compiled) -> None:
    expected = mixed.plain.run(X)[0]
    # The same kernels on the same bits; Winograd's weights, transformed in float64, may round otherwise.
    np.testing.assert_allclose(mixed.stored.run(X)[0], expected, atol=1e-6 * np.abs(expected).max())


def test_no_float_weights_are_left(mixed: Compiled) -> None:
    """Not in the file, not in the arena, and no step of an inference decodes."""
    manifest, report = mixed.stored.manifest, mixed.stored.report
    # Winograd's small matrices, and scales of what fills up panels.
    assert manifest.weight_bytes <= stored_bytes(mixed.model) + 8192
    assert manifest.decoded_bytes > 0.8 * mixed.plain.manifest.weight_bytes
    assert f"decoded {manifest.decoded_bytes:,} bytes" in str(mixed.stored)
    assert report.memory is not None and report.memory.decoded_bytes == manifest.decoded_bytes
    assert not [step.kernel for step in report.steps if "decode" in step.kernel or "pack" in step.kernel]


def test_decisions_tell_what_is_decoded(mixed: Compiled) -> None:
    chosen = {decision.subject: decision.reason for decision in mixed.stored.report.decisions if decision.kept}
    assert chosen["winograd"].startswith("conv2d_winograd")
    assert chosen["winograd_stored"] == "codes of 4 bits, 32 scales, 4,737 bytes, decoded to 36,864 when it is opened"


def test_instances_share_nothing(mixed: Compiled) -> None:
    expected = mixed.stored.run(X)[0]
    with ec.open(mixed.stored.path) as other:
        np.testing.assert_array_equal(other.run(X)[0], expected)
    np.testing.assert_array_equal(mixed.stored.run(X)[0], expected)


@pytest.mark.board
def test_an_emulated_board_answers_the_same(mixed: Compiled, tmp_path: Path) -> None:
    ec.compile(mixed.model, "rpi5", out=tmp_path / "board")
    expected = mixed.plain.run(X)[0]
    with ec.open(tmp_path / "board", emulate=True) as board:
        np.testing.assert_allclose(board.run(X)[0], expected, atol=1e-5 * np.abs(expected).max())


def test_dynamic_shapes_decode_too(tmp_path: Path) -> None:
    spec = TensorSpec("x", ("n", 8), "float32")
    model = make_model(
        [spec], lambda b, x: relax.op.matmul(x, constant(normal(8, 5))), [TensorSpec("y", ("n", 5), "float32")]
    )
    small = ec.compress(model, "w4,granularity=per_channel")
    with pytest.warns(UserWarning, match="virtual machine"):
        artifact = ec.compile(small, out=tmp_path / "net")
    (decoding,) = (d.reason for d in artifact.report.decisions if d.step == "DecodeWeights")
    assert decoding == "codes of 4 bits, 5 scales, 41 bytes, decoded to 160 in every inference"
    x = normal(3, 8)
    weight = stored_weight(next(b.value for b in small.module["main"].body.blocks[0].bindings if is_decode(b.value)))
    np.testing.assert_allclose(artifact.run(x)[0], x @ weight.decode(), rtol=1e-5, atol=1e-5)


def test_some_layers_integer_and_some_stored() -> None:
    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        hidden = builder.emit(relax.op.matmul(x, constant(normal(8, 16))), name_hint="first")
        return relax.op.nn.relu(builder.emit(relax.op.matmul(hidden, constant(normal(16, 4))), name_hint="head"))

    plain = make_model([TensorSpec("x", (2, 8), "float32")], body, [TensorSpec("y", (2, 4), "float32")])
    stored = {"weights": {"dtype": "float16"}, "activations": {"dtype": "none"}}
    model = ec.compress(plain, {"steps": [{"kind": "quantize", "layers": {"head": stored}}]}, [normal(2, 8)])
    decisions = {decision.subject: decision for decision in model.history[-1].decisions}
    assert decisions["first"].reason == "int8" and decisions["head"].reason.startswith("float16: 256 to 128 bytes")
    operators = [layer.operator for layer in model.layers]
    assert operators.count(DECODE) == 1 and "quantize" in operators


def test_what_cannot_be_stored_names_its_layer() -> None:
    model = make_model(
        [TensorSpec("x", (2, 3), "float32")],
        lambda b, x: relax.op.nn.relu(
            b.emit(relax.op.matmul(x, constant(np.full((3, 2), 7e4, np.float32))), name_hint="head")
        ),
        [TensorSpec("y", (2, 2), "float32")],
    )
    with pytest.raises(InvalidRecipeError, match="layer 'head': float16 holds magnitudes up to 65504, found 70000"):
        ec.compress(model, "fp16")
    assert ec.compress(model, "bf16").weight_bytes == 12


def test_a_file_that_claims_more_weights_than_it_has_is_refused(tmp_path: Path) -> None:
    """The loops that decode would read past the end of the codes."""
    small = ec.compress(network(), "w4,granularity=per_channel")
    main = small.module["main"]

    def on_call(call: relax.Call, mutator: Any) -> relax.Expr:
        if not is_decode(call):
            return mutator.default_mutate(call)
        claimed = tvm.ir.make_node("ir.DictAttrs", method="uniform", bits=8, shape=list(call.attrs["shape"]))
        return relax.Call(call.op, call.args, claimed, ret_ty=call.ty)

    body = structural_mutate(main.body, ((tvm.ir.Call, on_call),))
    function = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    module = tvm.IRModule({small.module.get_global_var("main"): function}, attrs=small.module.attrs)
    write_model(dataclasses.replace(small, module=module), tmp_path / "bad.ec")
    with pytest.raises(InvalidModelError, match="the module is not well-formed"):
        read_model(tmp_path / "bad.ec")


def test_groups_that_do_not_divide_are_refused() -> None:
    with pytest.raises(InvalidRecipeError, match=r"'product' .*group_size must divide its 16 input channels"):
        ec.compress(network(), "w4,group_size=5")


def test_digits(tmp_path: Path) -> None:
    model = ec.load("zoo:digits_resnet")
    artifact = ec.compile(ec.compress(model, "w4,method=codebook"), out=tmp_path / "net")
    assert artifact.manifest.weight_bytes <= 0.15 * model.weight_bytes
    assert accuracy(lambda x: artifact.run(x)[0]) >= 0.988
    assert artifact.verify().ok
