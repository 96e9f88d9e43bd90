"""The methods as recipes ask for them: better answers of a small network, and data that have nothing to say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax

import edgecompile as ec
from edgecompile.compress.quantize.improve.choose_weights import STEP as ROUNDING
from edgecompile.compress.quantize.improve.correct_bias import STEP as CORRECTION
from edgecompile.compress.samples import replay
from edgecompile.errors import InvalidCalibrationError, InvalidInputError
from edgecompile.frontend.model import Model
from edgecompile.integer.reference import run_reference
from edgecompile.passes.integers import FuseIntegerOperators
from edgecompile.passes.pipeline import eliminate_dead_code
from edgecompile.passes.simplify_model import simplify_model
from tests.compress.quantize.improve.networks import Layers, convolutional, network
from tests.compress.quantize.test_storage import with_floats
from tests.relax_models import run_virtual_machine

SHAPE = (2, 3, 10, 10)
MODEL = convolutional(leaky=False)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of AdaRound, as the layers are small."""
    monkeypatch.setattr("edgecompile.compress.quantize.improve.adaround._ROUNDS", 200)


def images(count: int, seed: int = 0) -> list[np.ndarray]:
    """Smooth along one axis, so that what a kernel reads is correlated, and not around zero."""
    random = np.random.default_rng(seed)
    return [(np.cumsum(random.standard_normal(SHAPE), axis=3) / 2 + 1).astype(np.float32) for _ in range(count)]


def integer_program(model: Model) -> Any:
    return eliminate_dead_code()(FuseIntegerOperators()(model.module, []), [])


def decibels(model: Model) -> float:
    """Signal to noise of the integer program's answers to 16 inputs that calibration has not seen."""
    program = integer_program(model)
    found = np.array([run_reference(program, [x])[0] for x in images(16, seed=1)])
    return float(10 * np.log10(np.square(expected()).sum() / np.square(found - expected()).sum()))


@cache
def expected() -> np.ndarray:
    return np.array([run_virtual_machine(MODEL.module, x)[0] for x in images(16, seed=1)])


@cache
def compressed(options: str) -> Model:
    recipe = ",".join(filter(None, ("int8,weights=int4", options)))
    return ec.compress(MODEL, recipe, images(16))


@pytest.mark.parametrize(
    ("options", "gain"), [("rounding=gptq", 2), ("rounding=adaround", 2), ("bias_correction", 1), ("equalize", 1)]
)
def test_each_method_gains(options: str, gain: float) -> None:
    """Decibels over rounding to nearest; the gains of trained networks are in `scripts/rounding_gains.py`."""
    assert decibels(compressed(options)) > decibels(compressed("")) + gain


STORED = {
    "kind": "quantize",
    "default": {"weights": {"dtype": "int4"}, "activations": {"dtype": "none"}, "calibration": None},
    "layers": {
        "grouped": {"weights": {"granularity": "per_group", "group_size": 3, "symmetric": False}},
        "depthwise": {"weights": {"granularity": "per_tensor"}},
        "hidden": {"weights": {"granularity": "per_group", "group_size": 4}},
    },
}
"""Every granularity, float activations."""
LIVELY = convolutional(leaky=False, seed=9)
"""Whose answers differ much from image to image."""


def stored(**options: object) -> Model:
    step = {**STORED, "default": {**STORED["default"], **options}}  # type: ignore[dict-item]
    return ec.compress(LIVELY, {"steps": [step]}, images(16))


def answers(module: tvm.IRModule) -> np.ndarray:
    machine = relax.VirtualMachine(tvm.compile(module, tvm.target.Target("llvm")), tvm.cpu())
    return np.array([machine["main"](tvm.runtime.tensor(x)).numpy() for x in images(16, seed=1)])


def stored_decibels(model: Model) -> float:
    exact, found = (answers(module) for module in (LIVELY.module, with_floats(model).module))
    return float(10 * np.log10(np.square(exact).sum() / np.square(found - exact).sum()))


@pytest.mark.parametrize(
    ("options", "gain"), [({"rounding": "gptq"}, 3), ({"rounding": "adaround"}, 3), ({"bias_correction": True}, 1)]
)
def test_each_method_gains_on_stored_weights(options: dict[str, object], gain: float) -> None:
    """As above, with float activations."""
    model = stored(**options)
    assert stored_decibels(model) > stored_decibels(stored()) + gain
    asked = [d for d in model.history[-1].decisions if d.step in (ROUNDING, CORRECTION)]
    assert [d.subject for d in asked] == ["first", "grouped", "depthwise", "hidden", "scores"]
    assert sum(d.kept for d in asked) >= 4


def test_stored_weights_need_data_for_it() -> None:
    for option in ("rounding=gptq", "rounding=adaround", "bias_correction"):
        with pytest.raises(InvalidInputError, match=r"needs calibration data, found none: give data="):
            ec.compress(MODEL, f"w4,granularity=per_channel,{option}")
    assert ec.compress(MODEL, "w4,granularity=per_channel,equalize").history


def test_the_same_integers_each_time() -> None:
    again = ec.compress(MODEL, "int8,weights=int4,rounding=adaround", images(16))
    assert again.module.script(show_meta=True) == compressed("rounding=adaround").module.script(show_meta=True)


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_asymmetric_weights_in_integers(weights: str, tmp_path: Any) -> None:
    """Codes minus zero points leave int8, and are exact all the same."""
    step = {"kind": "quantize", "default": {"weights": {"dtype": weights, "symmetric": False}}}
    model = ec.compress(MODEL, {"steps": [step]}, images(4))
    artifact = ec.compile(model, out=tmp_path / "artifact")
    for x in images(3, seed=2):
        np.testing.assert_array_equal(artifact.run(x)[0], run_reference(integer_program(model), [x])[0])


def test_a_correction_where_there_is_no_bias() -> None:
    """A product without a bias gets one; the one behind it is measured with that one in place."""

    def body(layers: Layers, x: Any) -> Any:
        weight = np.full((6, 3), 0.31, np.float32)
        weight[0] = 1.0  # all others are rounded to the same side
        value = layers.emit(_product(x, weight), "first")
        last = layers.emit(_product(value, weight[:3]), "second")
        return layers.emit(relax.op.reshape(last, (12,)), "flat")

    model = network((4, 6), (12,), body)
    data = [np.random.default_rng(seed).uniform(0, 1, (4, 6)).astype(np.float32) for seed in range(16)]
    plain, corrected = (ec.compress(model, f"int8,weights=int4{option}", data) for option in ("", ",bias_correction"))
    decisions = [d for d in corrected.history[-1].decisions if d.step == CORRECTION]
    assert [(d.subject, d.kept) for d in decisions] == [("first", True), ("second", True)]
    errors = []
    for each in (plain, corrected):
        program = integer_program(each)
        exact = [run_virtual_machine(model.module, x)[0] for x in data]
        found = [run_reference(program, [x])[0] for x in data]
        errors.append(np.abs(np.mean(np.array(found) - exact, axis=0)).max())
    assert errors[1] < 0.2 * errors[0]


@pytest.mark.parametrize(
    ("rounding", "data"),
    [("gptq", [np.zeros(SHAPE, np.float32)] * 4), ("adaround", [np.full(SHAPE, 3.0, np.float32)] * 4)],
)
def test_data_that_say_little(rounding: str, data: list[np.ndarray]) -> None:
    """All methods at once."""
    recipe = f"int8,weights=int4,equalize,bias_correction,rounding={rounding},smooth=0.5"
    (found,) = run_reference(integer_program(ec.compress(MODEL, recipe, data)), [images(1)[0]])
    assert np.isfinite(found).all()


def test_too_few_samples() -> None:
    model = ec.compress(MODEL, "int8,rounding=gptq", images(1))
    reasons = [d.reason for d in model.history[-1].decisions if d.step == ROUNDING]
    assert len(reasons) == 5 and all("needs 4 samples or more" in reason for reason in reasons)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_are_not_finite(value: float) -> None:
    data = [*images(3), np.full(SHAPE, value, np.float32)]
    with pytest.raises(InvalidCalibrationError, match="calibration needs finite values"):
        ec.compress(MODEL, "int8,rounding=gptq,bias_correction,smooth=0.5", data)


def test_a_table_cannot_take_the_place_of_data(tmp_path: Any) -> None:
    from edgecompile.compress.quantize import calibrate

    table = tmp_path / "table.json"
    table.write_bytes(calibrate(simplify_model(MODEL), images(2), observer="min_max").encode())
    for option in ("equalize", "smooth=0.5", "rounding=gptq", "bias_correction"):
        with pytest.raises(InvalidInputError, match=r"needs calibration data, found a table"):
            ec.compress(MODEL, f"int8,{option}", table=table)


def test_an_iterator_is_kept_in_memory_as_far_as_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    def stream() -> Iterator[np.ndarray]:
        yield from images(16)

    whole = ec.compress(MODEL, "int8,weights=int4,rounding=gptq", stream())
    assert whole.module.script(show_meta=True) == compressed("rounding=gptq").module.script(show_meta=True)
    monkeypatch.setattr(replay, "KEPT_BYTES", 5 * images(1)[0].nbytes)
    cut = ec.compress(MODEL, "int8,weights=int4,rounding=gptq", stream())
    assert "kept the first 5 samples" in cut.history[-1].decisions[0].reason


def test_several_calibrations() -> None:
    """Each tensor as its reader says, from one pass over an iterator."""
    rules = {"first": {"calibration": "min_max"}, "hidden": {"calibration": {"method": "percentile", "percent": 60}}}
    step = {"kind": "quantize", "default": {"calibration": "min_max"}, "layers": rules}
    mixed = ec.compress(MODEL, {"steps": [step]}, iter(images(8)))
    plain = ec.compress(MODEL, "int8,calibration=min_max", images(8))
    scales = [_scales(model) for model in (mixed, plain)]
    assert scales[0].keys() == scales[1].keys() and "x" in scales[0]
    changed = {name for name in scales[0] if scales[0][name] != scales[1][name]}
    assert changed == {"mean"}  # what "hidden" reads, before it is reshaped


def _scales(model: Model) -> dict[str, float]:
    """Of the tensors that are quantized, by name."""
    bindings = model.module["main"].body.blocks[0].bindings
    quantized = [binding for binding in bindings if binding.var.name.endswith("_int8")]
    return {q.var.name.removesuffix("_int8"): float(q.value.args[1].value.numpy()) for q in quantized}


def _product(x: Any, weight: np.ndarray) -> Any:
    return relax.op.matmul(x, relax.const(weight))
