"""Factorised networks whose weights are fitted to what the whole one computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import edgecompile as ec
from edgecompile.compress.recipe import Recipe
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.frontend.model import Model
from tests.compress.lowrank.graphs import run_torch
from tests.compress.lowrank.test_factorise import MODEL, TARGET, WIDTH, names
from tests.compress.lowrank.test_judge import FakeWorkbench, clock

__all__ = ["clock"]  # a fixture

RECIPE = "lowrank,params=0.2,method=channel"


def sample(index: int) -> np.ndarray:
    """Of the network's input; channels differ and go together, as those of real activations do."""
    random = np.random.default_rng(index)
    mixed = np.einsum("ck,khw->chw", MIXING, random.standard_normal((8, 8, 8)))
    return (mixed + 0.1 * random.standard_normal((1, WIDTH, 8, 8))).astype(np.float32)


MIXING = np.random.default_rng(7).standard_normal((WIDTH, 8))
DATA = [sample(index) for index in range(96)]
HELD_OUT = [sample(index) for index in range(100, 108)]
EXPECTED = [run_torch(MODEL.module, x) for x in HELD_OUT]


def compress(recipe: Any, data: Any = DATA, **options: Any) -> Model:
    return ec.compress(MODEL, recipe, data, target=TARGET, **options)


def error(model: Model) -> float:
    """Of the outputs on inputs that no fit has seen, by their squares."""
    found = [run_torch(model.module, x) for x in HELD_OUT]
    return float(np.square(np.stack(found) - EXPECTED).sum() / np.square(EXPECTED).sum())


def fits(model: Model) -> dict[str, tuple[bool, str]]:
    decisions = [each for each in model.history[-1].decisions if each.step == "Reconstruct"]
    return {each.subject: (each.kept, each.reason) for each in decisions}


def test_a_fit_lowers_the_error_on_other_inputs() -> None:
    recipe = f"{RECIPE},activations=off"
    plain, biased, fitted = (compress(f"{recipe},reconstruct={how}") for how in ("none", "bias", "least_squares"))
    assert names(fitted)[0] == "first_u"
    assert not fits(plain)
    assert list(fits(biased)) == list(fits(fitted)) == ["first", "second", "depthwise", "point", "dense"]
    assert error(fitted) < 0.75 * error(plain)
    assert error(fitted) < error(biased) < error(plain)


def test_a_fit_lowers_the_error_beside_ranks_by_data() -> None:
    plain, fitted = compress(f"{RECIPE},reconstruct=none"), compress(RECIPE)  # "auto" fits where there are data
    assert error(fitted) < 0.85 * error(plain)


def test_full_rank_stays_exact() -> None:
    full = compress("lowrank,ratio=1,method=tucker,reconstruct=least_squares")
    assert set(fits(full).values()) == {(False, "it answers what it did before")}
    assert error(full) < 1e-10


def test_what_ships_after_it_was_judged_is_fitted(clock: Any) -> None:
    def quality(predict: Any) -> float:
        found = np.stack([predict([x])[0] for x in HELD_OUT])
        return 1 - float(np.square(found - EXPECTED).sum() / np.square(EXPECTED).sum())

    small = compress(f"{RECIPE},reconstruct=least_squares", eval=quality)
    assert FakeWorkbench.built[-1].endswith("factorised layers, fitted")
    outcome = small.history[-1].outcome
    assert outcome is not None and outcome.kept
    assert f"metric 1 -> {1 - error(small):.4g}" in outcome.reason
    assert fits(small)["dense"][0]


def test_fits_have_a_table_of_their_own(clock: Any, tmp_path: Any) -> None:
    compress(f"{RECIPE},reconstruct=bias", report=tmp_path)
    factorised, fitted = (tmp_path / "lowrank.md").read_text().split("| layer | fitted | why |")
    assert "| second | yes | channel" in factorised and "| second | yes | error " in fitted


def test_without_data() -> None:
    with pytest.raises(InvalidInputError, match=r"reconstruct=bias needs calibration data, found none: give data="):
        compress(f"{RECIPE},reconstruct=bias", None)
    assert not fits(compress(RECIPE, None))


@pytest.mark.parametrize("option", ["reconstruct=all", "reconstruct"])
def test_words_that_are_none(option: str) -> None:
    with pytest.raises(InvalidRecipeError, match="reconstruct"):
        Recipe.parse(f"{RECIPE},{option}")


def test_the_option_is_read_again_from_its_data() -> None:
    recipe = Recipe.parse(f"{RECIPE},reconstruct=least_squares")
    assert Recipe.parse(recipe.to_data()) == recipe
    assert recipe.to_data()["steps"][0]["reconstruct"] == "least_squares"
