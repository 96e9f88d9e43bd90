"""Tables of embeddings from recipe to artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tvm import relax

import edgecompile as ec
from edgecompile.compress.quantize.describe import preview
from edgecompile.compress.quantize.quantizable import QuantizableLayer, quantizable_layers
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.quantize.storage.store_weights import STEP
from edgecompile.compress.recipe import Recipe
from edgecompile.errors import InvalidRecipeError
from edgecompile.frontend.model import Model, TensorSpec
from edgecompile.passes.simplify_model import simplify_model
from tests.compress.quantize.test_storage import with_floats
from tests.relax_models import constant, make_model, run_virtual_machine

WORDS, WIDTH = 37, 12
ROWS = np.array([[0, 36, 5, 5], [1, 2, 3, 35]], np.int64)


def network(table: np.ndarray | None = None) -> Model:
    """words[rows] + what the last two columns of another table say, through a product."""
    random = np.random.default_rng(0)
    words = random.standard_normal((WORDS, WIDTH)).astype(np.float32) if table is None else table
    other = random.standard_normal((WORDS, WIDTH)).astype(np.float32)
    weight = random.standard_normal((WIDTH, 5)).astype(np.float32)

    def body(builder: relax.BlockBuilder, rows: relax.Var) -> relax.Expr:
        taken = builder.emit(relax.op.take(constant(words), rows, axis=0, mode="clip"), name_hint="words")
        unsafe = builder.emit(relax.op.take(constant(other), rows, axis=0, mode="fast"), name_hint="unsafe")
        known = relax.op.take(constant(other), relax.const(np.array([3, 1, 2, 0])), axis=0, mode="clip")
        total = builder.emit(relax.op.add(relax.op.add(taken, unsafe), known), name_hint="total")
        return builder.emit(relax.op.matmul(total, constant(weight)), name_hint="product")

    specs = [TensorSpec("rows", ROWS.shape, "int64")]
    return make_model(specs, body, [TensorSpec("y", (*ROWS.shape, 5), "float32")])


def preview_of(recipe: str) -> tuple[str, ...]:
    (step,) = Recipe.parse(recipe).steps
    assert isinstance(step, QuantizeStep)
    (row,) = (row for row in preview(simplify_model(network()), step) if row.layer == "words")
    return tuple(row)[2:-1]


def test_which_tables_are_layers() -> None:
    """Those whose rows are not known beforehand, and whose row numbers are clipped."""
    layers = [layer for layer in quantizable_layers(network()) if layer.operator == "take"]
    assert layers == [QuantizableLayer("words", "take", (WORDS, WIDTH))]


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("int8,weights=int4,granularity=per_tensor,rounding=gptq,smooth=0.5", ("int8", "float", "per_channel [37]")),
        ("int8-dynamic", ("int8", "float", "per_channel [37]")),
        ("w4,group_size=4,method=codebook", ("int8", "float", "per_channel [37]")),
        ("w4,embeddings=int4,group_size=4", ("int4", "float", "per_channel [37]")),
        ("int8-dynamic,embeddings=none", ("float", "float", "-")),
        ("fp16", ("float16", "float", "-")),
        ("fp16,embeddings=bfloat16", ("bfloat16", "float", "-")),
    ],
)
def test_what_recipes_make_of_tables(recipe: str, expected: tuple[str, ...]) -> None:
    found = preview_of(recipe)
    assert found[:3] == expected and found[3:5] == ("-", "-")


def test_a_wrong_dtype() -> None:
    with pytest.raises(InvalidRecipeError, match=r"operators.take.weights.dtype.*int7"):
        Recipe.parse("int8,embeddings=int7")


def table_alone(scheme: dict[str, object]) -> dict[str, object]:
    nothing = {"weights": {"dtype": "none"}, "activations": {"dtype": "none"}, "calibration": None}
    return {"steps": [{"kind": "quantize", "default": nothing, "operators": {"take": {"weights": scheme}}}]}


@pytest.mark.parametrize("table", [{"dtype": "int8"}, {"dtype": "int4", "granularity": "per_group", "group_size": 4}])
def test_answers_of_the_artifact(table: dict[str, object], tmp_path: Path) -> None:
    """Those of the float program on the decoded table, within rounding of the product's sums."""
    model = ec.compress(network(), table_alone(table))
    assert [d.subject for d in model.history[-1].decisions if d.step == STEP and d.kept] == ["words"]
    artifact = ec.compile(model, out=tmp_path / "small")
    expected = run_virtual_machine(with_floats(model).module, ROWS)[0]
    np.testing.assert_allclose(artifact.run(ROWS)[0], expected, rtol=1e-5, atol=1e-5)
    whole = ec.compile(network(), out=tmp_path / "whole")
    assert whole.manifest.weight_bytes - artifact.manifest.weight_bytes > WORDS * WIDTH * 2
    assert artifact.manifest.decoded_bytes == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_tables_that_are_not_finite(value: float) -> None:
    with pytest.raises(InvalidRecipeError, match="layer 'words' has weights that are NaN or infinite"):
        ec.compress(network(np.full((WORDS, WIDTH), value, np.float32)), "w4,granularity=per_channel")


def test_a_table_of_zeros() -> None:
    model = ec.compress(network(np.zeros((WORDS, WIDTH), np.float32)), table_alone({"dtype": "int4"}))
    exact = run_virtual_machine(network(np.zeros((WORDS, WIDTH), np.float32)).module, ROWS)[0]
    np.testing.assert_allclose(run_virtual_machine(with_floats(model).module, ROWS)[0], exact, rtol=1e-6)
