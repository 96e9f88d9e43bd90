"""`compress` runs the steps in order, records what they did, and refuses what makes no sense."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from typing import Any

import pytest

from edgecompile.compress.driver import compress
from edgecompile.compress.kinds import KINDS
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from tests.compress import doubles
from tests.compress.networks import network


@pytest.mark.usefixtures("rounding")
def test_steps_are_recorded() -> None:
    model = network()
    phases: list[str] = []
    small = compress(model, "int8,calibration=kl", [1, 2], samples=3, progress=phases.append)
    assert phases == ["quantize", "rounding"]
    passed = doubles.calls[-1]
    assert (passed["data"], passed["samples"], passed["table"], passed["max_drop"]) == ([1, 2], 3, None, None)
    assert model.history == ()
    (record,) = small.history
    assert record.kind == "quantize"
    assert record.recipe["default"] == {"calibration": {"method": "kl"}}
    assert [decision.kept for decision in record.decisions] == [True, False]
    assert str(small).endswith("quantize: 1 of 2 decisions changed a layer")
    again = compress(small, "w4+fp16")
    assert len(again.history) == 3
    assert again.history[0] == record


def test_a_step_without_effect_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    double = dataclasses.replace(KINDS["quantize"], function="tests.compress.doubles:do_nothing")
    monkeypatch.setitem(KINDS, "quantize", double)
    with pytest.raises(InvalidRecipeError, match="the step 'quantize' changed nothing: it was slower; leave it out"):
        compress(network(), "int8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_drop": 0.1}, "max_drop needs an eval, .* found no eval"),
        ({"max_drop": -0.1, "eval": lambda predict: 1.0}, "found max_drop=-0.1"),
        ({"max_drop": float("nan"), "eval": lambda predict: 1.0}, "found max_drop=nan"),
        ({"samples": 0}, "samples must be at least 1, found 0"),
        ({"data": [], "table": "table.json"}, "found both"),
    ],
)
@pytest.mark.usefixtures("rounding")
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        compress(network(), "int8", **options)


@pytest.mark.parametrize("first", ["edgecompile.compress.strict", "edgecompile.compress.driver", "edgecompile"])
def test_the_public_name_is_a_function_whatever_was_imported_first(first: str) -> None:
    """The package of the same name takes the attribute's place as soon as something in it is imported."""
    code = (
        f"import {first}, inspect, edgecompile as ec\n"
        "assert list(inspect.signature(ec.compress).parameters)[:3] == ['model', 'recipe', 'data']\n"
        "try:\n"
        "    ec.compress(None, 'int9')\n"
        "except ec.errors.InvalidRecipeError as error:\n"
        "    print(error)\n"
        "print(ec.Recipe.parse('int8').to_data()['steps'][0]['kind'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "unknown name 'int9'" in run.stdout
    assert run.stdout.endswith("quantize\n")


def test_the_signature_is_the_documented_one() -> None:
    assert list(inspect.signature(compress).parameters) == [
        "model",
        "recipe",
        "data",
        "samples",
        "table",
        "eval",
        "max_drop",
        "target",
        "report",
        "progress",
    ]
