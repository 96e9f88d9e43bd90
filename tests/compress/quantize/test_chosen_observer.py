"""Every calibration of a recipe has its observer."""

from __future__ import annotations

import pytest

from edgecompile.compress.quantize.chosen_observer import chosen_observer
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.recipe import Recipe


@pytest.mark.parametrize(
    ("text", "observer"),
    [
        ("min_max", "min_max"),
        ("moving_average,rate=0.25", "moving_average(0.25)"),
        ("percentile,percent=99.5", "percentile(99.5)"),
        ("mse", "mse"),
        ("kl", "entropy"),
    ],
)
def test_the_observer_of_a_recipe(text: str, observer: str) -> None:
    (step,) = Recipe.parse(f"int8,calibration={text}").steps
    assert isinstance(step, QuantizeStep)
    assert step.default.calibration is not None
    assert str(chosen_observer(step.default.calibration)) == observer
