"""All choices of int8 layers in one compiled model, against each choice compiled as it would ship."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import relax

from edgecompile.compress.quantize.insert import ProductScheme, insert_quantization
from edgecompile.compress.quantize.table import TensorRange
from edgecompile.compress.quantize.weights import WeightForm, nearest
from edgecompile.compress.sensitivity.switches import Switch, switched
from edgecompile.compress.sensitivity.variants import CompiledVariants, SwitchedVariants, variants_of
from edgecompile.errors import UnsupportedModelError
from edgecompile.frontend.model import Model, TensorSpec
from tests.relax_models import constant, make_model

rng = np.random.default_rng(0)
FIRST = (rng.standard_normal((5, 3, 3, 3)) / 5).astype(np.float32)
SECOND = (rng.standard_normal((5, 5, 3, 3)) / 7).astype(np.float32)
LAYERS = ("first", "second")
SCHEMES = {
    name: ProductScheme(nearest(weight, WeightForm((5, 1, 1, 1))))
    for name, weight in zip(LAYERS, (FIRST, SECOND), strict=True)
}
RANGES = {name: TensorRange(low=-4.0, high=4.0) for name in ("x", "active", "second")}


def network() -> Model:
    """x [1, 3, 7, 6] -> relu(first(x)); second of it, and the sum of both."""

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        first = builder.emit(relax.op.nn.conv2d(x, constant(FIRST), padding=1), name_hint="first")
        active = builder.emit(relax.op.nn.relu(first), name_hint="active")
        second = builder.emit(relax.op.nn.conv2d(active, constant(SECOND), padding=1), name_hint="second")
        return builder.emit(relax.op.add(active, second), name_hint="join")

    specs = [TensorSpec("x", (1, 3, 7, 6), "float32")]
    return make_model(specs, body, [TensorSpec("y", (1, 5, 7, 6), "float32")])


def compressed(model: Model, layers: frozenset[str]) -> object:
    return insert_quantization(model.module, RANGES, {name: SCHEMES[name] for name in layers}, [])


def test_every_choice_is_that_of_its_own_compilation() -> None:
    model = network()
    inputs = [rng.standard_normal((1, 3, 7, 6)).astype(np.float32)]
    step = 8 / 255  # of the ranges
    with (
        SwitchedVariants(model, LAYERS, lambda layers: compressed(model, layers), lambda phase: None) as simulated,
        CompiledVariants(model, lambda layers: compressed(model, layers), lambda phase: None) as exact,
    ):
        outputs = {}
        for layers in (frozenset(), frozenset({"first"}), frozenset({"second"}), frozenset(LAYERS)):
            (found,) = simulated.predict(layers)(inputs)
            (expected,) = exact.predict(layers)(inputs)
            outputs[layers] = found
            # An integer beside a border between two may be the other one.
            np.testing.assert_allclose(found, expected, atol=1e-5 if not layers else 1.01 * step)
            assert np.mean(np.abs(found - expected) > 1e-4) < 0.05
    assert len({array.tobytes() for array in outputs.values()}) == 4


def test_the_switches_of_a_choice() -> None:
    model = network()
    merged = switched(model.module, compressed(model, frozenset(LAYERS)))
    assert set(merged.switches) == {
        Switch("tensor", "x"),
        Switch("constants", "first"),
        Switch("tensor", "active"),
        Switch("constants", "second"),
    }  # the join, whose result is float, reads float
    assert [str(p.name) for p in merged.module["main"].params] == ["x", "switches"]
    relax.analysis.well_formed(merged.module)


def test_decoded_constants_are_weights() -> None:
    """Weights in storage of another form, as a recipe without activations makes them."""
    model = network()

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        half = builder.emit(relax.op.astype(constant(FIRST.astype(np.float16)), "float32"), name_hint="half")
        wide = builder.emit(relax.op.multiply(half, constant(np.float32(1))), name_hint="wide")
        first = builder.emit(relax.op.nn.conv2d(x, wide, padding=1), name_hint="first")
        active = builder.emit(relax.op.nn.relu(first), name_hint="active")
        second = builder.emit(relax.op.nn.conv2d(active, constant(SECOND), padding=1), name_hint="second")
        return builder.emit(relax.op.add(active, second), name_hint="join")

    stored = make_model(model.inputs, body, model.outputs).module
    assert switched(model.module, stored).switches == (Switch("constants", "first"),)


def test_other_differences_are_compiled_one_by_one() -> None:
    model = network()

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        first = builder.emit(relax.op.nn.conv2d(x, constant(FIRST), padding=1), name_hint="first")
        return builder.emit(relax.op.tanh(first), name_hint="bent")

    other = make_model(model.inputs, body, model.outputs).module
    with pytest.raises(UnsupportedModelError, match="found another operator at 'bent'"):
        switched(model.module, other)
    with variants_of(model, LAYERS, lambda layers: other, lambda phase: None) as variants:
        assert isinstance(variants, CompiledVariants)
        (found,) = variants.predict(frozenset({"first"}))([np.zeros((1, 3, 7, 6), np.float32)])
        np.testing.assert_array_equal(found, 0)
