"""Which layers a recipe can speak about, and what they are called."""

from __future__ import annotations

import pytest

from edgecompile.compress.quantize.describe import preview
from edgecompile.compress.quantize.quantizable import QuantizableLayer, quantizable_layers
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.recipe import Recipe
from tests.compress.networks import network


@pytest.mark.parametrize("batch", [2, "n"])
def test_the_layers_of_a_network(batch: int | str) -> None:
    """Neither the bias, nor the turning of a constant, nor an operator on integers is one."""
    assert quantizable_layers(network(batch)) == [
        QuantizableLayer("conv", "nn.conv2d", (4, 3, 3, 3)),
        QuantizableLayer("relu", "nn.relu"),
        QuantizableLayer("join", "add"),
        QuantizableLayer("pool", "mean"),
        QuantizableLayer("fc", "matmul", (4, 5)),
    ]


def rows(recipe: str) -> dict[str, tuple[str, ...]]:
    (step,) = Recipe.parse(recipe).steps
    assert isinstance(step, QuantizeStep)
    return {row.layer: tuple(row)[2:] for row in preview(network(), step)}


def test_the_preview_of_int8() -> None:
    found = rows("int8,calibration=percentile,percent=99.9,symmetric,rounding=gptq,smooth=0.5,skip=fc")
    assert found["conv"] == (
        "int8",
        "int8 static",
        "per_channel [4]",
        "percentile, percent=99.9",
        "symmetric activations, gptq, smooth=0.5",
        "432 to 125",
        "default",
    )
    assert found["join"] == ("-", "int8 static", "-", "percentile, percent=99.9", "-", "-", "default")
    assert found["fc"] == ("float", "float", "-", "-", "skip", "80", "default < layers.fc")


def test_the_preview_of_weights_alone() -> None:
    found = rows("w4,group_size=2,method=codebook,bits=3")
    assert found["fc"][:4] == ("int4 codebook of 3 bits", "float", "per_group [2, 5]", "-")
    # 20 codes of 3 bits and a byte to read beyond, 10 scales, 8 entries of the table.
    assert found["fc"][-2:] == (f"80 to {8 + 1 + 40 + 32}", "default < operators.matmul")
    assert found["relu"] == ("-", "float", "-", "-", "-", "-", "default")
    assert rows("fp16")["conv"][:3] == ("float16", "float", "-")
    dynamic = rows("int8-dynamic")
    assert dynamic["fc"][:4] == ("int8", "int8 dynamic per_row", "per_channel [5]", "-")
    assert dynamic["conv"] == ("float", "float", "-", "-", "dynamic is for matmul", "432", "default")
    assert dynamic["relu"] == ("-", "float", "-", "-", "dynamic is for matmul", "-", "default")
    assert rows("int8-dynamic,scales=per_tensor")["fc"][1] == "int8 dynamic"
