"""Recipes from names, dicts and files, and the one line that each wrong one gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.quantize.scheme import KullbackLeibler, LayerScheme, Percentile
from edgecompile.compress.recipe import Recipe
from edgecompile.errors import InvalidRecipeError


def default_of(source: Any) -> LayerScheme:
    (step,) = Recipe.parse(source).steps
    assert isinstance(step, QuantizeStep)
    return step.default


def quantize(**step: object) -> dict[str, object]:
    return {"steps": [{"kind": "quantize", **step}]}


def test_the_names() -> None:
    assert default_of("int8") == LayerScheme()
    dynamic = default_of("int8-dynamic")
    assert (dynamic.activations.mode, dynamic.calibration) == ("dynamic", None)
    w4 = default_of("w4")
    assert (w4.weights.dtype, w4.activations.dtype) == ("int4", "none")
    for name, dtype in (("fp16", "float16"), ("bf16", "bfloat16")):
        scheme = default_of(name)
        assert (scheme.weights.dtype, scheme.activations.dtype, scheme.calibration) == (dtype, "none", None)


def test_options_of_a_name() -> None:
    scheme = default_of("int8, calibration=percentile, percent=99.9, equalize, symmetric=true, smooth=0.5")
    assert scheme.calibration == Percentile(percent=99.9)
    assert (scheme.equalize, scheme.activations.symmetric, scheme.smooth) == (True, True, 0.5)
    (step,) = Recipe.parse("int8,skip=stem_*,skip=fc").steps
    assert isinstance(step, QuantizeStep)
    assert {pattern: rule.skip for pattern, rule in step.layers.items()} == {"stem_*": True, "fc": True}


def test_an_option_reaches_the_rules_that_a_name_brings() -> None:
    (step,) = Recipe.parse("w4,group_size=64").steps
    assert isinstance(step, QuantizeStep)
    assert step.operators["matmul"].weights.group_size == 64
    assert step.default.weights.group_size is None
    (step,) = Recipe.parse("w4,granularity=per_tensor").steps
    assert isinstance(step, QuantizeStep)
    assert {step.default.weights.granularity, step.operators["matmul"].weights.granularity} == {"per_tensor"}
    assert step.operators["matmul"].weights.group_size is None


def test_weights_and_activations_have_their_own_symmetry() -> None:
    scheme = default_of("int8,symmetric_weights=off,symmetric")
    assert (scheme.weights.symmetric, scheme.activations.symmetric) == (False, True)
    assert not default_of("w4,symmetric_weights=false").weights.symmetric


def test_names_are_joined_in_order() -> None:
    steps = Recipe.parse("w4+int8,calibration=kl").steps
    assert [step.default.weights.dtype for step in steps if isinstance(step, QuantizeStep)] == ["int4", "int8"]


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "steps:\n"
        "  - kind: quantize\n"
        "    default: {calibration: kl}\n"
        "    operators:\n"
        "      matmul: {activations: {mode: dynamic}}\n"
        "    layers:\n"
        '      "stem_*": {skip: true}\n'
        "  - w4,group_size=16\n"
    )
    recipe = Recipe.parse(path)
    assert recipe == Recipe.parse(str(path))
    first = recipe.steps[0]
    assert isinstance(first, QuantizeStep)
    assert first.default.calibration == KullbackLeibler()
    assert first.operators["matmul"].activations.mode == "dynamic"
    assert first.layers["stem_*"].skip
    assert len(recipe.steps) == 2


@pytest.mark.parametrize(
    "source",
    [
        "int8",
        "int8-dynamic+w4,group_size=16",
        quantize(
            default={"calibration": "mse"}, layers={"a*": {"weights": {"bits": None}}, "b": {"calibration": None}}
        ),
    ],
)
def test_what_is_written_is_read(source: Any) -> None:
    recipe = Recipe.parse(source)
    again = Recipe.parse(recipe.to_data())
    assert again == recipe
    # Equality does not see which keys were given, and overriding depends on it.
    assert again.to_data() == recipe.to_data()


def test_steps_made_in_python() -> None:
    step = QuantizeStep(default=LayerScheme(calibration=KullbackLeibler()))
    recipe = Recipe(steps=(step,))
    assert Recipe.parse(recipe) is recipe
    assert Recipe.parse(recipe.to_data()) == recipe


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("int9", r"the recipe 'int9', at steps\[0\]: unknown name 'int9', did you mean 'int8'\?"),
        ("", r"unknown name ''; one of depth, prune, .*int8, .* was needed, or the path of a .yaml file"),
        ("int8++w4", r"at steps\[1\]: unknown name ''"),
        ("int8,calib=kl", r"unknown option 'calib', did you mean 'calibration'\?"),
        ("int8,skip", r"unknown option 'skip'|skip needs"),
        ("int8,calibration=kll", r"default\.calibration: needed one of 'min_max', .*'kl', found 'kll'"),
        ("int8,percent=99", r"default\.calibration: needed the key 'method'"),
        ("int8,smooth=2", r"default\.smooth: needed less than or equal to 1, found 2"),
        ("int8,smooth=nan", r"default\.smooth"),
        ("prune,macs=0.5,round_to=0", r"round_to: needed 'auto' or greater than or equal to 1, found 0"),
        ("prune,macs=0.5,round_to=x", r"round_to: needed 'auto' or a valid integer, found 'x'"),
        ("lowrank,rank=0", r"rank: needed 'vbmf' or greater than or equal to 1 or .*, found 0"),
        ("int8,activations=int4", r"activations\.dtype: needed 'int8', 'uint8', 'int16' or 'none', found 'int4'"),
        (7, "a recipe is a path, a name, a dict or a Recipe, not a int"),
        ({}, "the recipe, at the top level: needed 'steps:' with at least one step under it, found no key 'steps'"),
        ({"steps": []}, "at least one step"),
        ({"steps": ["int8"], "step": 1}, r"at step: unknown key 'step', did you mean 'steps'\?"),
        ({"steps": [{}]}, r"at steps\[0\]: a step is a built-in name, or has 'kind', one of depth, prune, .*quantize"),
        ({"steps": [{"kind": "quantise"}]}, r"at steps\[0\]\.kind: unknown kind 'quantise', did you mean 'quantize'\?"),
        ({"steps": [{"kind": ["quantize"]}]}, r"at steps\[0\]\.kind: unknown kind"),
        (quantize(defaults={}), r"at steps\[0\]: unknown key 'defaults', did you mean 'default'\?"),
        (quantize(default={"weights": {"bitz": 3}}), r"default\.weights: unknown key 'bitz', did you mean 'bits'\?"),
        (quantize(layers={"a": {"skp": True}}), r"layers\.a: unknown key 'skp', did you mean 'skip'\?"),
        (
            quantize(default={"calibration": {"method": "kl", "percent": 9}}),
            "unknown key 'percent'; one of method was needed",
        ),
        (quantize(default={"equalize": 1}), r"default\.equalize: needed a valid boolean, found 1"),
        (quantize(default=None), r"default: needed a valid dictionary"),
        (quantize(operators={"nn.conv2": {}}), r"unknown operator 'nn\.conv2', did you mean 'nn\.conv2d'\?"),
        (quantize(layers={"": {}}), r"at least 1 character"),
    ],
)
def test_wrong_recipes(source: Any, message: str) -> None:
    with pytest.raises(InvalidRecipeError, match=message) as caught:
        Recipe.parse(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "steps:\n  - kind: quantize\n    default:\n      weights:\n        bitz: 3\n",
            r"line 4, at .*weights: unknown key",
        ),
        ("steps:\n  - int8\n  - kind: quantize\n    default: {equalize: 3}\n", r"line 4, at steps\[1\]\.default\.equ"),
        ("steps:\n  - int8\n  - int9\n", r"line 3, at steps\[1\]: unknown name 'int9'"),
        ("steps: [int8\n", r"line 2 is no YAML: expected"),
        ("steps: [int8]\nsteps: [w4]\n", "line 2: the key 'steps' is there since line 1; keep one"),
        ("a: &a [x]\nsteps: [*a, *a]\n", "line 2: aliases are not read"),
        ("steps: " + "[" * 100 + "]" * 100, "line 1: at most 32 levels are read"),
        ("steps: !!python/object/apply:os.system [ls]\n", "line 1 is no YAML: could not determine a constructor"),
        ("? [a]\n: 1\n", "no YAML|a key must be a word"),
        ("when: 2024-99-99\n", "cannot read"),
        ("steps: [int8]\n---\nsteps: [w4]\n", "no YAML: but found another document"),
        ("", "needed 'steps:'"),
        ("int8", "needed 'steps:'"),
        ("\x00", "no YAML"),
        ("#" * (1 << 21), "2097152 characters, at most 1048576 are read"),
    ],
)
def test_wrong_files(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(InvalidRecipeError, match=message) as caught:
        Recipe.parse(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecipeError, match=r"none\.yaml cannot be read: No such file"):
        Recipe.parse("none.yaml")
    (tmp_path / "latin.yml").write_bytes(b"steps: [\xe9]")
    with pytest.raises(InvalidRecipeError, match="no UTF-8"):
        Recipe.parse(tmp_path / "latin.yml")
