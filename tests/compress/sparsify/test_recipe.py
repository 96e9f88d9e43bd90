"""What a recipe may say, and the rule that each layer gets."""

from __future__ import annotations

import pytest

from edgecompile.compress.quantize.quantizable import QuantizableLayer
from edgecompile.compress.recipe import Recipe
from edgecompile.compress.sparsify.recipe import SparsifyStep
from edgecompile.compress.sparsify.resolve import resolve
from edgecompile.errors import InvalidRecipeError

LAYERS = [
    QuantizableLayer("stem", "nn.conv2d", (8, 3, 3, 3)),
    QuantizableLayer("relu", "nn.relu"),
    QuantizableLayer("head", "matmul", (16, 4)),
    QuantizableLayer("scores", "matmul"),
]


def step(source: object) -> SparsifyStep:
    recipe = Recipe.parse(source if isinstance(source, str) else {"steps": [source]})
    (found,) = recipe.steps
    assert isinstance(found, SparsifyStep)
    return found


def test_a_name_with_options() -> None:
    found = step("sparse,sparsity=0.8,scope=uniform,importance=wanda,skip=stem*")
    assert (found.sparsity, found.scope, found.importance, found.layers["stem*"].skip) == (
        0.8,
        "uniform",
        "wanda",
        True,
    )
    assert Recipe.parse(Recipe(steps=(found,)).to_data()).steps == (found,)
    assert step("sparse,pattern=2:4").pattern == "2:4"


def test_the_later_rule_wins_and_ends_the_other_kind() -> None:
    found = step(
        {
            "kind": "sparsify",
            "sparsity": 0.5,
            "operators": {"matmul": {"pattern": "1:4"}},
            "layers": {"h*": {"sparsity": 0.9}, "stem": {"skip": True}},
        }
    )
    stem, head = resolve(found, LAYERS)
    assert stem.rule.skip and not stem.is_global
    assert head.rule.sparsity == 0.9 and head.rule.pattern is None and not head.is_global
    assert head.rules == ("default", "operators.matmul", "layers.h*")
    [_, head] = resolve(
        step({"kind": "sparsify", "sparsity": 0.5, "operators": {"matmul": {"pattern": "1:4"}}}), LAYERS
    )
    assert head.rule.n_of_m == (1, 4) and head.rule.sparsity is None


def test_rules_alone_leave_other_layers() -> None:
    stem, head = resolve(step({"kind": "sparsify", "layers": {"head": {"pattern": "2:4"}}}), LAYERS)
    assert stem.rule.sparsity is None and stem.rule.pattern is None and head.rule.pattern == "2:4"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("sparse", "needed sparsity, pattern, or rules"),
        ("sparse,sparsity=1.5", "less than 1, found 1.5"),
        ("sparse,sparsity=0", "greater than 0"),
        ("sparse,sparsity=nan", "found nan"),
        ("sparse,sparsity=half", "needed a valid number|valid number"),
        ("sparse,sparsity=0.5,pattern=2:4", "needed sparsity or pattern, found both"),
        ("sparse,pattern=4:4", "1 <= N < M <= 1024, found '4:4'"),
        ("sparse,pattern=0:4", "found '0:4'"),
        ("sparse,pattern=2/4", "needed N:M such as 2:4"),
        ("sparse,pattern=2:4,scope=global", "scope is for a sparsity"),
        ("sparse,sparsity", "needs a value, such as sparsity=0.8"),
        ("sparse,sparsty=0.5", "did you mean 'sparsity'"),
        ("sparse,sparsity=0.5,importance=l1", "'magnitude' or 'wanda'"),
        ({"kind": "sparsify", "sparsity": 0.5, "operators": {"conv2d": {"skip": True}}}, "did you mean 'nn.conv2d'"),
        ({"kind": "sparsify", "layers": {"a": {"sparsity": 0.5, "pattern": "2:4"}}}, "found both"),
        ({"kind": "sparsify", "layers": {"a": {"ratio": 0.5}}}, "unknown key 'ratio'"),
    ],
)
def test_what_a_recipe_may_not_say(source: object, message: str) -> None:
    with pytest.raises(InvalidRecipeError, match=message):
        step(source)


def test_what_does_not_fit_the_model() -> None:
    with pytest.raises(InvalidRecipeError, match=r"'stam\*' matches no layer with weights; the nearest are stem"):
        resolve(step("sparse,sparsity=0.5,skip=stam*"), LAYERS)
    with pytest.raises(InvalidRecipeError, match="'relu' matches no layer with weights"):
        resolve(step("sparse,sparsity=0.5,skip=relu"), LAYERS)
    with pytest.raises(InvalidRecipeError, match="skips all 2 layers"):
        resolve(step("sparse,sparsity=0.5,skip=*"), LAYERS)
    with pytest.raises(InvalidRecipeError, match="the model has none"):
        resolve(step("sparse,sparsity=0.5"), LAYERS[1:2])
