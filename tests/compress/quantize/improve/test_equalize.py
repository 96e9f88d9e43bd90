"""Equalisation: the float function stays, ranges become alike, and what cannot be scaled is told."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tvm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tvm import relax

from edgecompile.compress.quantize.improve.equalize import equalize
from edgecompile.compress.quantize.improve.sites import find_sites
from edgecompile.decision import Decision
from tests.compress.quantize.improve.networks import Layers, convolutional, network
from tests.relax_models import constant, run_virtual_machine

NAMES = ["first", "grouped", "depthwise", "hidden", "scores"]


def decided(module: tvm.IRModule, names: list[str] = NAMES) -> tuple[tvm.IRModule, dict[str, Decision]]:
    decisions: list[Decision] = []
    result = equalize(module, names, decisions)
    relax.analysis.well_formed(result)
    return result, {decision.subject: decision for decision in decisions}


@given(st.integers(0, 1 << 16))
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_the_same_function(seed: int) -> None:
    """Within float32's rounding of as many products: 1e-5 of the largest result."""
    module = convolutional(seed).module
    x = np.random.default_rng(seed).standard_normal((2, 3, 10, 10)).astype(np.float32)
    (before,), (after,) = (run_virtual_machine(each, x) for each in (module, decided(module)[0]))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())


def test_each_pair_has_like_ranges() -> None:
    result, decisions = decided(convolutional().module)
    sites, _, constants = find_sites(result["main"])
    assert [[site.producer.name, *(reader.name for reader in site.readers)] for site in sites] == [
        [first, second] for first, second in itertools.pairwise(NAMES)
    ]
    for site in sites:
        first = site.written[0].magnitudes(constants[site.written[0].key])
        second = site.read[0].magnitudes(constants[site.read[0].key])
        np.testing.assert_allclose(first, second, rtol=1e-3)
    assert {name for name, decision in decisions.items() if not decision.kept} == {"first"}
    assert "comes from an input" in decisions["first"].reason


def test_only_what_is_asked_for() -> None:
    module = convolutional().module
    result, decisions = decided(module, ["first", "grouped", "scores"])
    assert [name for name, decision in decisions.items() if decision.kept] == ["first -> grouped"]
    assert "or not to be equalized" in decisions["scores"].reason
    before, after = (find_sites(each["main"])[2] for each in (module, result))
    by_name = {key[0].name: array for key, array in after.items() if key[1] == 1}
    for (variable, argument), array in before.items():
        if variable.name in ("depthwise", "hidden", "scores") and argument == 1:
            np.testing.assert_array_equal(by_name[variable.name], array)


def test_channels_of_zeros_stay() -> None:
    """A dead channel on either side has no ratio; its bias must not grow."""

    def body(layers: Layers, x: relax.Var) -> relax.Expr:
        first, second = np.ones((3, 4), np.float32), np.ones((4, 2), np.float32)
        first[:, 1], second[2] = 0, 0
        value = layers.emit(relax.op.matmul(x, constant(first)), "first")
        value = layers.emit(relax.op.add(value, constant(np.full(4, 5.0, np.float32))), "bias")
        return layers.emit(relax.op.matmul(value, constant(second * 100)), "second")

    result, _ = decided(network((1, 3), (1, 2), body).module, ["first", "second"])
    constants = {(key[0].name, key[1]): array for key, array in find_sites(result["main"])[2].items()}
    np.testing.assert_allclose(constants["bias", 1], [50, 5, 5, 50], rtol=1e-6)
    assert all(np.isfinite(array).all() for array in constants.values())


@pytest.mark.parametrize("operator", ["sigmoid", "clip", "residual", "output"])
def test_what_does_not_scale(operator: str) -> None:
    def body(layers: Layers, x: relax.Var) -> relax.Expr:
        value = layers.dense(x, "first", (3, 3))
        if operator == "sigmoid":
            value = layers.emit(relax.op.sigmoid(value), "sigmoid")
        elif operator == "clip":
            value = layers.emit(relax.op.clip(value, -1, 6), "clip")
        last = layers.dense(value, "second", (3, 3))
        if operator == "residual":
            last = layers.emit(relax.op.add(last, value), "residual")
        return relax.Tuple([last, value]) if operator == "output" else last

    module = network((1, 3), (1, 3), body).module
    result, decisions = decided(module, ["first", "second"])
    assert result.same_as(module)
    assert not decisions["second"].kept
    assert decisions["second"].reason
