"""Which layers go back to float, on numbers made up for it."""

from __future__ import annotations

import pytest

from edgecompile.compress.quantize.mixed.greedy import Freed, GreedySearch, Prospect

LAYERS = frozenset({"a", "b", "c", "d"})
DROPS = {"a": 0.01, "b": 0.20, "c": 0.05, "d": 0.0}


def metric_of(layers: frozenset[str]) -> float:
    return 1.0 - sum(DROPS[layer] for layer in layers)


def search(lost: dict[str, float] | None = None, metric: object = metric_of) -> GreedySearch:
    prices = lost or dict.fromkeys(LAYERS, 1.0)
    prospects = {layer: Prospect(DROPS[layer], DROPS[layer] ** 2, prices[layer]) for layer in LAYERS}
    return GreedySearch(prospects, metric)  # type: ignore[arg-type]


def names(freed: list[Freed]) -> list[str]:
    return [entry.layer for entry in freed]


def test_only_what_is_needed_is_freed() -> None:
    assert search().free(LAYERS, 0.70) == []
    freed = search().free(LAYERS, 0.90)
    assert names(freed) == ["b"]
    assert freed[0].recovered == pytest.approx(0.2)
    assert freed[0].metric == pytest.approx(0.94)
    assert names(search().free(LAYERS, 0.98)) == ["b", "c"]


def test_time_is_the_price() -> None:
    assert names(search({"a": 1.0, "b": 100.0, "c": 1.0, "d": 1.0}).free(LAYERS, 0.78)) == ["c"]


def test_a_limit_that_cannot_be_met_frees_all() -> None:
    assert set(names(search().free(LAYERS, 1.5))) == LAYERS


def test_noise_decides_where_no_layer_recovers_anything_alone() -> None:
    """Two layers that are each enough to spoil the metric."""

    def needs_both(layers: frozenset[str]) -> float:
        return 0.5 if layers & {"b", "c"} else 1.0

    assert names(search(metric=needs_both).free(LAYERS, 0.9)) == ["b", "c"]


def test_what_was_freed_in_vain_goes_back() -> None:
    found = search()
    freed = [Freed("a", 0.01, 0.0), Freed("c", 0.05, 0.0), Freed("b", 0.2, 0.0)]
    assert found.give_back(frozenset({"d"}), freed, 0.99) == ["a"]
    assert found.give_back(frozenset({"d"}), freed, 0.94) == ["a", "c"]


def test_each_choice_is_evaluated_once() -> None:
    asked: list[frozenset[str]] = []

    def counted(layers: frozenset[str]) -> float:
        asked.append(layers)
        return metric_of(layers)

    found = search(metric=counted)
    found.free(LAYERS, 0.98)
    found.give_back(frozenset({"a", "d"}), [Freed("c", 0.05, 0.0)], 0.98)
    assert len(asked) == len(set(asked))
