"""Steps of a gradual pruning, which together do what one does."""

from __future__ import annotations

import math

import pytest

from edgecompile.compress.prune.gradual import gradual
from edgecompile.compress.prune.recipe import PruneStep
from edgecompile.errors import InvalidRecipeError


def test_parts_multiply_to_the_whole() -> None:
    step = PruneStep.model_validate(
        {"kind": "prune", "macs": 0.3, "layers": {"a*": {"ratio": 0.5}, "b": {"skip": True}}}
    )
    parts = gradual(step, 4)
    assert len(parts) == 4
    assert math.prod(part.macs or 0 for part in parts) == pytest.approx(0.3)
    assert math.prod(1 - (part.layers["a*"].ratio or 0) for part in parts) == pytest.approx(0.5)
    assert all(part.layers["b"].skip for part in parts)
    taken = [1 - (part.macs or 0) for part in parts]
    assert taken[0] == max(taken)
    assert taken[-1] == min(taken)


def test_one_part_is_the_step() -> None:
    step = PruneStep.model_validate({"kind": "prune", "ratio": 0.25, "selection": "isomorphic"})
    (part,) = gradual(step, 1)
    assert part.ratio == pytest.approx(0.25)
    assert part.selection == "isomorphic"


def test_no_steps_are_refused() -> None:
    with pytest.raises(InvalidRecipeError, match="at least 1 step, found 0"):
        gradual(PruneStep.model_validate({"kind": "prune", "ratio": 0.25}), 0)
