"""SmoothQuant: equation 4, one factor for all readers, and where it cannot be folded."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import relax

from edgecompile.compress.quantize.improve.sites import find_sites
from edgecompile.compress.quantize.improve.smooth import smooth
from edgecompile.decision import Decision
from tests.compress.quantize.improve.networks import Layers, attention_input, network
from tests.relax_models import run_virtual_machine

THREE = {"query": 0.5, "key": 0.5, "value": 0.5}
PEAKS = {"norm": np.array([100.0, 1, 1, 0.01, 0, 2])}
X = np.random.default_rng(0).standard_normal((1, 5, 6)).astype(np.float32)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.8, 1.0])
def test_the_same_function_and_the_paper_s_factors(alpha: float) -> None:
    module = attention_input(residual=False).module
    decisions: list[Decision] = []
    result = smooth(module, dict.fromkeys(THREE, alpha), PEAKS, decisions)
    relax.analysis.well_formed(result)
    (before,), (after,) = (run_virtual_machine(each, X) for each in (module, result))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())
    assert {decision.subject for decision in decisions if decision.kept} == set(THREE)
    old, new = (
        {(key[0].name, key[1]): array for key, array in find_sites(each["main"])[2].items()}
        for each in (module, result)
    )
    weights = np.max([np.abs(old[name, 1]).max(axis=1) for name in THREE], axis=0)
    factors = PEAKS["norm"] ** alpha / weights ** (1 - alpha)
    factors[4] = 1  # always zero
    np.testing.assert_allclose(new["norm", 1], old["norm", 1] / factors, rtol=1e-5)
    np.testing.assert_allclose(new["norm", 2], old["norm", 2] / factors, rtol=1e-5)
    np.testing.assert_allclose(new["query", 1], old["query", 1] * factors[:, None], rtol=1e-5)


@pytest.mark.parametrize(
    ("exponents", "peaks", "reason"),
    [
        ({"query": 0.5, "key": 0.5}, PEAKS, "value reads the same activation"),
        ({**THREE, "value": 0.7}, PEAKS, "different exponents"),
        (THREE, {}, "norm has no range"),
    ],
)
def test_refusals(exponents: dict[str, float], peaks: dict[str, np.ndarray], reason: str) -> None:
    module = attention_input(residual=False).module
    decisions: list[Decision] = []
    assert smooth(module, exponents, peaks, decisions).same_as(module)
    assert {decision.subject for decision in decisions} == set(exponents)
    assert all(not decision.kept and reason in decision.reason for decision in decisions)


def test_a_norm_that_a_residual_sum_reads_is_computed_twice() -> None:
    module = attention_input(residual=True).module
    decisions: list[Decision] = []
    result = smooth(module, THREE, PEAKS, decisions)
    relax.analysis.well_formed(result)
    assert all(decision.kept and "others read it too" in decision.reason for decision in decisions)
    (before,), (after,) = (run_virtual_machine(each, X) for each in (module, result))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())
    norms = [binding for binding in result["main"].body.blocks[0].bindings if "norm" in binding.var.name]
    assert [norm.var.name for norm in norms] == ["norm", "norm_split"]


def test_folded_into_the_layer_before() -> None:
    def body(layers: Layers, x: relax.Var) -> relax.Expr:
        return layers.dense(layers.dense(x, "first", (6, 6)), "second", (6, 4))

    module = network((1, 5, 6), (1, 5, 4), body).module
    decisions: list[Decision] = []
    result = smooth(module, {"second": 0.5}, {"first_bias": PEAKS["norm"]}, decisions)
    assert [(decision.subject, decision.kept) for decision in decisions] == [("second", True)]
    (before,), (after,) = (run_virtual_machine(each, X) for each in (module, result))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())
