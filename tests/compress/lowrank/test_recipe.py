"""Low-rank steps from names and dicts, and the one line that each wrong one gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tvm import relax

from edgecompile.compress.lowrank.layers import WeightedLayer, weighted_layers
from edgecompile.compress.lowrank.recipe import Budget, LayerRule, LowRankStep
from edgecompile.compress.lowrank.resolve import ResolvedLayer, resolve
from edgecompile.compress.recipe import Recipe
from edgecompile.errors import InvalidRecipeError
from edgecompile.frontend.model import Model, TensorSpec
from tests.compress.lowrank.graphs import layer_model
from tests.relax_models import constant, make_model

RANDOM = np.random.default_rng(0)


def step_of(source: Any) -> LowRankStep:
    (step,) = Recipe.parse(source if isinstance(source, str) else {"steps": [{"kind": "lowrank", **source}]}).steps
    assert isinstance(step, LowRankStep)
    return step


def network() -> Model:
    """stem [8, 3, 3, 3], middle of groups, twins of one weight [8, 8, 1, 1], head [8, 6], dead [6, 5], odd [5, 4]."""

    def weight(*shape: int) -> np.ndarray:
        return RANDOM.standard_normal(shape).astype(np.float32)

    shared = constant(weight(8, 8, 1, 1))
    odd = weight(5, 4)
    odd[0, 0] = np.nan

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Var:
        x = builder.emit(relax.op.nn.conv2d(x, constant(weight(8, 3, 3, 3))), name_hint="stem")
        x = builder.emit(relax.op.nn.conv2d(x, constant(weight(8, 2, 3, 3)), groups=4), name_hint="middle")
        for name in ("twin_a", "twin_b"):
            x = builder.emit(relax.op.nn.conv2d(x, shared), name_hint=name)
        x = builder.emit(relax.op.mean(x, [2, 3]), name_hint="pool")
        x = builder.emit(relax.op.matmul(x, constant(weight(8, 6))), name_hint="head")
        x = builder.emit(relax.op.matmul(x, constant(np.zeros((6, 5), np.float32))), name_hint="dead")
        return builder.emit(relax.op.matmul(x, constant(odd)), name_hint="odd")

    return make_model([TensorSpec("x", (1, 3, 8, 8), "float32")], body, [TensorSpec("y", (1, 4), "float32")])


LAYERS = weighted_layers(network())


def resolved(source: Any, layers: list[WeightedLayer] = LAYERS) -> dict[str, ResolvedLayer]:
    return {found.layer.name: found for found in resolve(step_of(source), layers)}


def test_names() -> None:
    assert step_of("lowrank,params=0.33").budget == Budget(params=0.33)
    assert step_of("lowrank,macs=0.5,method=tucker").default == LayerRule(method="tucker")
    assert step_of("lowrank,latency=0.6").budget == Budget(latency=0.6)
    assert step_of("lowrank,energy=0.99").default.energy == 0.99
    assert step_of("lowrank,rank=vbmf").default.rank == "vbmf"
    assert step_of("lowrank,rank=8x16,method=tucker,activations=off").default == LayerRule(
        method="tucker", rank=[8, 16], activations=False
    )
    assert step_of("lowrank,ratio=1,skip=stem_*").layers == {"stem_*": LayerRule(skip=True)}
    both = Recipe.parse("lowrank,params=0.5+int8").steps
    assert [step.kind for step in both] == ["lowrank", "quantize"]


def test_a_step_is_read_again_from_its_data() -> None:
    for text in ("lowrank,params=0.33,skip=a*", "lowrank,rank=8x16,method=tucker", "lowrank,sensitivity=s.json,drop=0"):
        recipe = Recipe.parse(text)
        assert Recipe.parse(recipe.to_data()) == recipe


WRONG: list[tuple[Any, str]] = [
    (
        "lowrank",
        r"steps\[0\].*nothing says how far: needed one of params, macs, latency, energy, rank, ratio, sensitivity",
    ),
    ("lowrank,params=0", "needed greater than 0, found 0"),
    ("lowrank,params=1.5", "needed less than or equal to 1, found 1.5"),
    ("lowrank,params=nan", "found nan"),
    ("lowrank,params=small", "found 'small'"),
    ("lowrank,energy=-0.1", "needed greater than 0, found -0.1"),
    ("lowrank,energy=1.01", "needed less than or equal to 1, found 1.01"),
    ("lowrank,ratio=2", "needed less than or equal to 1, found 2"),
    ("lowrank,rank=0", "found 0"),
    ("lowrank,rank=8x16x4,method=tucker", "rank"),
    ("lowrank,rank=x", "found 'x'"),
    ("lowrank,params=0.5,macs=0.5", "a budget is one of params, macs, latency, found params and macs"),
    ("lowrank,params=0.5,energy=0.9", "energy of all layers leaves nothing to choose for the budget of params"),
    ("lowrank,energy=0.9,rank=8", "a layer has one of energy, rank, ratio, found energy and rank"),
    ("lowrank,sensitivity=s.json,macs=0.5", "ratio, sensitivity, found macs and sensitivity"),
    ("lowrank,sensitivity=s.json,rank=4", "ratio, sensitivity, found rank and sensitivity"),
    ("lowrank,sensitivity=s.json,drop=-1", "needed greater than or equal to 0, found -1"),
    ("lowrank,params=0.5,method=qr", "method"),
    ("lowrank,parms=0.5", "unknown option 'parms', did you mean 'params'"),
    ({"budget": {"params": 0.5}, "defaults": {}}, "unknown key 'defaults', did you mean 'default'"),
    ({"budget": {"bytes": 0.5}}, "unknown key 'bytes'"),
    ({"budget": {}}, "a budget is one of params, macs, latency, found none"),
    ({"default": {"energi": 0.5}}, "unknown key 'energi', did you mean 'energy'"),
    ({"budget": {"macs": 0.5}, "operators": {"nn.conv3d": {"skip": True}}}, "unknown operator 'nn.conv3d'"),
]


@pytest.mark.parametrize(("source", "message"), WRONG)
def test_wrong_steps(source: Any, message: str) -> None:
    with pytest.raises(InvalidRecipeError, match=message) as caught:
        step_of(source)
    assert "\n" not in str(caught.value)


def test_later_rules_win_and_replace_what_said_how_far() -> None:
    found = resolved(
        {
            "default": {"method": "tucker", "energy": 0.9},
            "operators": {"matmul": {"ratio": 0.5}},
            "layers": {"s*": {"rank": 2}, "st*": {"method": "spatial"}, "twin_*": {"skip": True}},
        }
    )
    stem, head = found["stem"], found["head"]
    assert stem.rule == LayerRule(method="spatial", rank=2)
    assert stem.rules == ("default", "layers.s*", "layers.st*")
    assert head.rule == LayerRule(method="tucker", ratio=0.5)
    assert found["twin_a"].why_not == "skipped by the recipe"


def test_without_ranks_methods_stay() -> None:
    step = step_of(
        {"default": {"energy": 0.9}, "layers": {"stem": {"rank": 2, "method": "tucker"}, "head": {"skip": True}}}
    )
    found = {layer.layer.name: layer.rule for layer in resolve(step.without_ranks(), LAYERS)}
    assert found["stem"] == LayerRule(method="tucker")
    assert found["head"].skip
    assert not any(rule.has_rank for rule in found.values())
    assert step.without_ranks().budget == Budget(params=1.0)


def test_why_layers_stay() -> None:
    found = resolved("lowrank,energy=0.9")
    assert {name for name, layer in found.items() if not layer.why_not} == {"stem", "head"}
    assert "4 groups" in found["middle"].why_not
    assert "shared" in found["twin_a"].why_not and "shared" in found["twin_b"].why_not
    assert "all zero" in found["dead"].why_not
    assert "NaN" in found["odd"].why_not


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"default": {"energy": 0.9}, "layers": {"stam*": {"skip": True}}}, "'stam.*' matches no .* nearest are stem"),
        ({"default": {"energy": 0.9}, "layers": {"*": {"skip": True}}}, "skips all layers"),
        ({"budget": {"macs": 0.9}, "layers": {"head": {"rank": 7}}}, "'head'.*rank 7 is above the highest of svd, 6"),
        ({"budget": {"macs": 0.9}, "layers": {"stem": {"method": "tucker", "rank": [4, 4]}}},
         "rank 4 is above the highest of tucker, 3 x 8"),
        ({"budget": {"macs": 0.9}, "layers": {"stem": {"method": "channel", "rank": [4, 4]}}},
         "channel has 1 rank, found 2"),
        ("lowrank,rank=vbmf,method=cp", "cp has none"),
    ],
)  # fmt: skip
def test_steps_that_do_not_fit_the_model(source: Any, message: str) -> None:
    with pytest.raises(InvalidRecipeError, match=message):
        resolved(source)


def test_nothing_to_factorise() -> None:
    with pytest.raises(InvalidRecipeError, match=r"needs convolutions or matrix products.*the model has neither"):
        resolved("lowrank,energy=0.9", [])
    grouped = weighted_layers(layer_model(np.ones((4, 1, 3, 3), np.float32), groups=4))
    with pytest.raises(InvalidRecipeError, match=r"the model's 1 cannot be .layer: a convolution of 4 groups"):
        resolved("lowrank,energy=0.9", grouped)
