"""Which rule decides about a layer, and what cannot be decided."""

from __future__ import annotations

import pytest

from edgecompile.compress.quantize.quantizable import QuantizableLayer
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.quantize.resolve import resolve, resolve_rules
from edgecompile.compress.recipe import Recipe
from edgecompile.errors import InvalidRecipeError

STEM = QuantizableLayer("stem_0", "nn.conv2d", (16, 3, 3, 3))
BODY = QuantizableLayer("stages_0_conv", "nn.conv2d", (32, 16, 3, 3))
HEAD = QuantizableLayer("classifier_matmul", "matmul", (64, 10))
JOIN = QuantizableLayer("stages_0_add", "add")
LAYERS = (STEM, BODY, JOIN, HEAD)


def step_of(**data: object) -> QuantizeStep:
    (step,) = Recipe.parse({"steps": [{"kind": "quantize", **data}]}).steps
    assert isinstance(step, QuantizeStep)
    return step


def test_later_rules_win() -> None:
    step = step_of(
        default={"calibration": "mse", "weights": {"granularity": "per_tensor"}, "equalize": True},
        operators={"nn.conv2d": {"weights": {"granularity": "per_channel"}, "calibration": "kl"}},
        layers={"stem_*": {"calibration": {"method": "percentile", "percent": 99.0}}, "*_0": {"equalize": False}},
    )
    schemes = resolve(step, LAYERS)
    assert list(schemes) == [layer.name for layer in LAYERS]
    stem, body, head = (schemes[layer.name] for layer in (STEM, BODY, HEAD))
    assert [scheme.weights.granularity for scheme in (stem, body, head)] == ["per_channel", "per_channel", "per_tensor"]
    assert [scheme.calibration.method for scheme in (stem, body, head) if scheme.calibration] == [
        "percentile",
        "kl",
        "mse",
    ]
    assert [scheme.equalize for scheme in (stem, body, head)] == [False, True, True]
    rules = {found.layer.name: found.rules for found in resolve_rules(step, LAYERS)}
    assert rules["stem_0"] == ("default", "operators.nn.conv2d", "layers.stem_*", "layers.*_0")
    assert rules["stages_0_add"] == ("default",)


def test_a_rule_can_return_to_what_is_the_default_without_rules() -> None:
    """The value of a key that was given counts, even where it equals the model's own."""
    step = step_of(default={"weights": {"symmetric": False}}, layers={"stem_0": {"weights": {"symmetric": True}}})
    schemes = resolve(step, LAYERS)
    assert schemes["stem_0"].weights.symmetric
    assert not schemes["stages_0_conv"].weights.symmetric


def test_of_two_patterns_the_later_wins() -> None:
    forward = step_of(layers={"stem_0": {"skip": True}, "*": {"skip": False}})
    backward = step_of(layers={"*": {"skip": False}, "stem_0": {"skip": True}})
    assert not resolve(forward, LAYERS)["stem_0"].skip
    assert resolve(backward, LAYERS)["stem_0"].skip


def test_a_pattern_is_case_sensitive() -> None:
    with pytest.raises(InvalidRecipeError, match=r"'Stem_\*' matches no layer .*; the nearest are stem_0"):
        resolve(step_of(layers={"Stem_*": {"skip": True}}), LAYERS)


@pytest.mark.parametrize(
    ("pattern", "near"), [("clasifier*", "classifier_matmul"), ("stage_0_conv", "stages_0_conv"), ("???", "stem_0")]
)
def test_a_pattern_without_layers(pattern: str, near: str) -> None:
    with pytest.raises(InvalidRecipeError, match=f"matches no layer that can be quantized; the nearest are .*{near}"):
        resolve(step_of(layers={pattern: {"skip": True}}), LAYERS)


def test_nothing_to_quantize() -> None:
    with pytest.raises(InvalidRecipeError, match="the model has none"):
        resolve(step_of(), [])
    with pytest.raises(InvalidRecipeError, match="skips all 4 layers"):
        resolve(step_of(layers={"*": {"skip": True}}), LAYERS)


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        ({"weights": {"granularity": "per_group"}, "activations": {"dtype": "none"}}, "needs weights.group_size"),
        ({"weights": {"group_size": 8}}, "group_size goes with per_group, found per_channel"),
        ({"weights": {"bits": 4}}, "bits goes with codebook and power_of_two"),
        ({"weights": {"method": "codebook", "dtype": "float16"}}, "codebook needs weights.dtype int8 or int4"),
        ({"weights": {"method": "codebook", "symmetric": False}}, "codebook has no zero point"),
        ({"weights": {"method": "power_of_two", "dtype": "int4", "bits": 5}}, "bits 5 do not fit weights.dtype int4"),
        ({"weights": {"dtype": "none"}}, "activations.dtype int8 needs integer weights"),
        ({"weights": {"dtype": "float16"}}, "activations.dtype int8 needs integer weights"),
        ({"weights": {"method": "codebook"}}, "the sums are not of integers"),
        ({"weights": {"granularity": "per_group", "group_size": 4}}, "ends each integer sum at its group"),
        ({"activations": {"dtype": "int16"}}, "need 17 bits; set activations.symmetric to true"),
        ({"calibration": None}, "static activations need a calibration"),
        ({"rounding": "gptq", "weights": {"dtype": "none"}, "activations": {"dtype": "none"}}, "rounding gptq is for"),
        ({"reduce_range": True, "weights": {"dtype": "int4"}}, "reduce_range is for uniform int8 weights"),
        ({"smooth": 0.5, "activations": {"dtype": "none"}}, "smooth makes activations easier to quantize"),
    ],
)
def test_impossible_combinations(scheme: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidRecipeError, match=f"default: .*{reason}"):
        step_of(default=scheme)
    with pytest.raises(
        InvalidRecipeError, match=rf"layer 'stem_0' \(nn.conv2d\), by default, layers.stem_0: .*{reason}"
    ):
        resolve(step_of(layers={"stem_0": scheme}), LAYERS)
    # What is skipped may be anything.
    assert resolve(step_of(layers={"stem_0": {**scheme, "skip": True}}), LAYERS)["stem_0"].skip


def test_rules_that_are_possible_only_together() -> None:
    step = step_of(
        default={"activations": {"dtype": "none"}},
        operators={"matmul": {"weights": {"granularity": "per_group"}}},
        layers={"classifier_*": {"weights": {"group_size": 16}}},
    )
    weights = resolve(step, LAYERS)["classifier_matmul"].weights
    assert (weights.granularity, weights.group_size) == ("per_group", 16)


@pytest.mark.parametrize(
    ("layer", "channels"),
    [
        (QuantizableLayer("l", "matmul", (60, 64)), 60),
        (QuantizableLayer("l", "nn.conv2d", (64, 12, 3, 3)), 12),
        (QuantizableLayer("l", "nn.conv2d_transpose", (4, 64, 2, 2)), 4),
    ],
)
def test_groups_must_divide_the_input_channels(layer: QuantizableLayer, channels: int) -> None:
    step = step_of(
        default={"weights": {"granularity": "per_group", "group_size": 32}, "activations": {"dtype": "none"}}
    )
    with pytest.raises(InvalidRecipeError, match=f"divide its {channels} input channels .* found 32"):
        resolve(step, [layer])
