"""Whole low-rank steps, judged by parameters and multiply-accumulates alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tvm import relax

import edgecompile as ec
from edgecompile.compress.kinds import KINDS, imported
from edgecompile.compress.recipe import Recipe
from edgecompile.errors import InvalidCalibrationError, InvalidRecipeError
from edgecompile.frontend.model import Model, TensorSpec
from tests.compress.lowrank.graphs import run_torch
from tests.relax_models import constant, make_model

WIDTH = 32
TARGET = "host,vector_bytes=16"  # ranks are multiples of 4
SHAPE = (1, WIDTH, 8, 8)


def network(name: str = "x") -> Model:
    """A 3x3 convolution with a bias, a strided one, a depthwise one, a 1x1 one, and a product."""
    random = np.random.default_rng(0)

    def weight(*shape: int) -> Any:
        """Of rank 6 beside some noise."""
        flat = random.standard_normal((shape[0], 6)) @ random.standard_normal((6, int(np.prod(shape[1:]))))
        noise = 0.1 * random.standard_normal(flat.shape)
        return constant(((flat + noise) / np.sqrt(6 * flat.shape[1])).reshape(shape).astype(np.float32))

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Var:
        x = builder.emit(relax.op.nn.conv2d(x, weight(WIDTH, WIDTH, 3, 3), padding=(1, 1)), name_hint="first")
        x = builder.emit(relax.op.add(x, weight(1, WIDTH, 1, 1)), name_hint="first_bias")
        x = builder.emit(relax.op.nn.relu(x), name_hint="relu")
        x = builder.emit(
            relax.op.nn.conv2d(x, weight(WIDTH, WIDTH, 3, 3), padding=(1, 1), strides=(2, 2)), name_hint="second"
        )
        x = builder.emit(relax.op.nn.conv2d(x, weight(WIDTH, 1, 3, 3), groups=WIDTH), name_hint="depthwise")
        x = builder.emit(relax.op.nn.conv2d(x, weight(2 * WIDTH, WIDTH, 1, 1)), name_hint="point")
        x = builder.emit(relax.op.mean(x, [2, 3]), name_hint="pool")
        x = builder.emit(relax.op.matmul(x, weight(2 * WIDTH, WIDTH)), name_hint="dense")
        return builder.emit(relax.op.nn.relu(x), name_hint="positive")

    return make_model([TensorSpec(name, SHAPE, "float32")], body, [TensorSpec("y", (1, WIDTH), "float32")])


MODEL = network()
DATA = [np.random.default_rng(index).standard_normal(SHAPE).astype(np.float32) for index in range(8)]


def compress(recipe: Any, data: Any = None, model: Model = MODEL) -> Model:
    return ec.compress(model, recipe, data, target=TARGET)


def names(model: Model) -> list[str]:
    return [layer.name for layer in model.layers]


def outputs(model: Model) -> np.ndarray:
    return np.stack([run_torch(model.module, sample) for sample in DATA])


def noise(model: Model) -> float:
    """Of the outputs, by their squares."""
    expected = outputs(MODEL)
    return float(np.square(outputs(model) - expected).sum() / np.square(expected).sum())


@pytest.mark.parametrize("method", ["auto", "spatial", "channel", "tucker", "cp"])
def test_a_budget_of_parameters(method: str) -> None:
    small = compress(f"lowrank,params=0.5,method={method}")
    assert 0.3 < small.params / MODEL.params <= 0.5
    assert relax.analysis.check_well_formed(small.module)
    (step,) = small.history
    said = {decision.subject: decision for decision in step.decisions}
    assert not said["depthwise"].kept and "32 groups" in said["depthwise"].reason
    assert said["first"].kept and "of the weight alone" in said["first"].reason
    assert f": {small.params / MODEL.params:.3f} of the parameters, {small.macs / MODEL.macs:.3f} of" in str(step)
    assert "not by time" in str(step)
    assert step.figures["first"]["parameters"] < step.figures["first"]["parameters before"] == 9 * WIDTH**2


def test_a_budget_of_macs() -> None:
    small = compress("lowrank,macs=0.4")
    assert 0.25 < small.macs / MODEL.macs <= 0.4


def test_the_last_factor_has_the_name_of_its_layer() -> None:
    tucker = compress({"steps": [{"kind": "lowrank", "layers": {"first": {"method": "tucker", "rank": 8}}}]})
    assert names(tucker)[:4] == ["first_u", "first_core", "first", "first_bias"]


def test_data_lower_the_error_of_the_outputs() -> None:
    """On inputs whose channels differ, at the same ranks."""
    recipe = "lowrank,rank=6,method=channel,reconstruct=none"
    scales = np.geomspace(0.05, 5, WIDTH).astype(np.float32)[:, None, None]
    skewed = [sample * scales for sample in DATA]
    expected = [run_torch(MODEL.module, sample) for sample in skewed]

    def error(model: Model) -> float:
        found = [run_torch(model.module, sample) for sample in skewed]
        return float(sum(np.square(a - b).sum() for a, b in zip(found, expected, strict=True)))

    aware, plain = error(compress(recipe, skewed)), error(compress(recipe))
    assert aware < 0.7 * plain
    assert error(compress(f"{recipe},activations=off", skewed)) == pytest.approx(plain)


@pytest.mark.parametrize("how", ["energy=0.95", "rank=vbmf"])
def test_energy_and_vbmf_find_the_rank(how: str) -> None:
    small = compress(f"lowrank,{how},method=channel")
    reasons = {decision.subject: decision.reason for decision in small.history[-1].decisions}
    assert reasons["first"].startswith("channel 8:")  # 6, as a multiple of the lanes
    assert noise(small) < 0.05


def test_full_ratio_leaves_the_outputs() -> None:
    full = compress("lowrank,ratio=1,method=tucker")
    assert full.params > MODEL.params  # what the recipe names is done
    np.testing.assert_allclose(outputs(full), outputs(MODEL), rtol=0, atol=1e-5 * np.abs(outputs(MODEL)).max())


def test_what_saves_nothing_stays() -> None:
    with pytest.raises(InvalidRecipeError, match=r"changed nothing: .*saves nothing: .* of the MACs"):
        compress("lowrank,energy=1")


def test_a_budget_that_cannot_be_met_names_the_smallest_that_can() -> None:
    with pytest.raises(InvalidRecipeError, match=r"the budget params=0.01 cannot be met: .* is 0\.\d+$") as caught:
        compress("lowrank,params=0.01")
    least = float(str(caught.value).split()[-1])
    assert compress(f"lowrank,params={least}").params / MODEL.params <= least
    with pytest.raises(InvalidRecipeError, match="cannot be met"):
        compress(f"lowrank,params={least - 0.002}")


def test_a_model_with_nothing_to_factorise() -> None:
    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Var:
        return builder.emit(relax.op.nn.relu(x))

    empty = make_model([TensorSpec("x", (1, 4), "float32")], body, [TensorSpec("y", (1, 4), "float32")])
    with pytest.raises(InvalidRecipeError, match="lowrank needs convolutions or matrix products"):
        compress("lowrank,params=0.5", model=empty)


def test_an_unknown_layer() -> None:
    with pytest.raises(InvalidRecipeError, match=r"'frist' matches no .* the nearest are first"):
        compress("lowrank,params=0.5,skip=frist")


def test_data_that_are_all_zero() -> None:
    small = compress("lowrank,params=0.5,method=tucker", [np.zeros(SHAPE, np.float32)] * 2)
    assert np.isfinite(outputs(small)).all()


def test_data_that_are_not_finite() -> None:
    with pytest.raises(InvalidCalibrationError, match="NaN"):
        compress("lowrank,params=0.5", [np.full(SHAPE, np.nan, np.float32)])


def test_factors_are_quantized_by_a_later_step() -> None:
    small = compress("lowrank,params=0.5,method=tucker+int8", DATA)
    assert [step.kind for step in small.history] == ["lowrank", "quantize"]
    kept = {decision.subject for decision in small.history[-1].decisions if decision.kept}
    assert {"first_u", "first_core", "first"} <= kept
    with pytest.raises(InvalidRecipeError, match=r"'lowrank' has to come before 'quantize'"):
        compress("int8+lowrank,params=0.5", DATA)
    for recipe, found in (("int8", "quantize"), ("w4", "edgecompile.decode")):
        quantized = compress(recipe, DATA)
        with pytest.raises(InvalidRecipeError, match=rf"needs a model of float32, found {found} .*: put it before"):
            ec.compress(quantized, "lowrank,params=0.5")


def test_preview() -> None:
    (step,) = Recipe.parse("lowrank,params=0.5,skip=dense").steps
    rows = {row.layer: row for row in imported(KINDS["lowrank"].preview)(MODEL, step)}
    assert list(rows) == ["first", "second", "depthwise", "point", "dense"]
    assert rows["dense"].why == "skipped by the recipe" and rows["dense"].becomes == "-"
    assert rows["first"].params.startswith("9,216 to ") and rows["first"].why == "default"
    (late,) = Recipe.parse("lowrank,latency=0.5").steps
    assert any(row.becomes != "-" for row in imported(KINDS["lowrank"].preview)(MODEL, late))
