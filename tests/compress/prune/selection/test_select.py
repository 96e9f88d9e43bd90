"""Which channels go."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.costs import Costs
from edgecompile.compress.prune.rewrite import kept_without
from edgecompile.compress.prune.selection.ranking import Ranking, Scores
from edgecompile.compress.prune.selection.rounding import Allowed
from edgecompile.compress.prune.selection.select import select
from edgecompile.compress.prune.selection.selection import Budget, Method, Selection
from edgecompile.errors import InvalidModelError, InvalidRecipeError
from tests.compress.prune.selection.groups import group
from tests.compress.prune.test_find import load

MODEL, _ = load("residual")
GROUPS = find_groups(MODEL.module)  # of 12, 16 and 20 channels
COSTS = Costs(MODEL.module, GROUPS)
NAMES = [found.name for found in GROUPS]
SEEDS = st.integers(0, 1 << 16)
METHODS: list[Method] = ["uniform", "global", "isomorphic"]


def random_scores(seed: int) -> dict[str, Scores]:
    generator = np.random.default_rng(seed)
    return {found.name: generator.random(found.channels) * 10 ** generator.normal() for found in GROUPS}


def lost(removed: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {name: len(channels) for name, channels in removed.items()}


def small_ranking(method: Method, scores: Mapping[str, list[float]], operators: str = "cccc") -> Ranking:
    names = {"c": "nn.conv2d", "m": "matmul"}
    groups = [
        group(name, len(found), operator=names[kind])
        for (name, found), kind in zip(scores.items(), operators, strict=False)
    ]
    allowed = [Allowed.of(found, most=0.9, least=1, round_to=1) for found in groups]
    return Ranking(groups, {name: np.array(found) for name, found in scores.items()}, allowed, method, {})


def test_uniform_takes_the_least_of_each_group() -> None:
    ranking = small_ranking("uniform", {"a": [5.0, 1.0, 3.0, 2.0], "b": [200.0, 100.0]})
    assert [found.tolist() for found in ranking.removed(ranking.kept(0.5))] == [[1, 3], [1]]


def test_global_takes_what_is_least_beside_its_own_group() -> None:
    """Relative to their means, a has 0.4, 0.8, 1.2, 1.6 and b 0.1, 0.1, 1.9, 1.9."""
    ranking = small_ranking("global", {"a": [2.0, 4.0, 6.0, 8.0], "b": [1000.0, 1000.0, 19000.0, 19000.0]})
    assert ranking.kept(0.25).tolist() == [4, 2]
    assert ranking.kept(0.5).tolist() == [2, 2]
    assert ranking.kept(1.0).tolist() == [1, 1]


def test_isomorphic_compares_groups_of_one_structure() -> None:
    """Globally the products would lose all that goes."""
    scores = {"a": [1.0, 1.0, 1.0, 1.0], "b": [0.5, 0.5, 1.5, 1.5], "c": [0.01, 0.01, 0.01, 4.0]}
    ranking = small_ranking("isomorphic", scores, "ccm")
    assert ranking.kept(0.25).tolist() == [4, 2, 3]
    assert small_ranking("global", scores, "ccm").kept(0.25).tolist() == [4, 4, 1]


def test_equal_scores_make_equal_ratios() -> None:
    ranking = small_ranking("global", {"a": [7.0] * 20, "b": [0.0] * 10, "c": [3.0] * 10})
    assert ranking.kept(0.5).tolist() == [12, 1, 7]  # all of b that may go, and 11 of 30


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_a_ratio_of_all_channels(method: Method, ratio: float) -> None:
    removed = select(GROUPS, random_scores(3), COSTS, Selection(method, ratio))
    assert sum(lost(removed).values()) == ratio * (12 + 16 + 20)
    if method == "uniform":
        assert lost(removed) == {name: ratio * count for name, count in zip(NAMES, (12, 16, 20), strict=True)}


@given(seed=SEEDS, one=st.floats(0.1, 1), other=st.floats(0.1, 1), kind=st.sampled_from(["macs", "params", "bytes"]))
def test_a_smaller_budget_takes_more_of_the_same(seed: int, one: float, other: float, kind: str) -> None:
    scores = random_scores(seed)
    small, large = (
        select(GROUPS, scores, COSTS, Selection(budget=Budget(kind, share)))  # type: ignore[arg-type]  # one of three
        for share in sorted((one, other))
    )
    assert all(set(channels) <= set(small[name]) for name, channels in large.items())


@given(
    seed=SEEDS,
    share=st.floats(0.15, 1),
    method=st.sampled_from(METHODS),
    kind=st.sampled_from(["macs", "params", "bytes"]),
    round_to=st.sampled_from([1, 4, 16]),
)
def test_a_budget_is_just_met(seed: int, share: float, method: Method, kind: str, round_to: int) -> None:
    scores = random_scores(seed)
    how = Selection(method, budget=Budget(kind, share), round_to=round_to)  # type: ignore[arg-type]  # one of three
    removed = select(GROUPS, scores, COSTS, how)
    place = ["macs", "params", "bytes"].index(kind)
    limit = share * COSTS.whole[place]
    assert COSTS.of(kept_without(GROUPS, removed))[place] <= limit
    for name, channels in removed.items():
        assert np.array_equal(channels, np.sort(np.argsort(scores[name], kind="stable")[: len(channels)]))
    if method == "global" and round_to == 1 and removed:  # one channel more would be too much, whichever came last
        more = [
            COSTS.of(kept_without(GROUPS, {**removed, name: without_best(channels, scores[name])}))[place]
            for name, channels in removed.items()
        ]
        assert max(more) > limit


def without_best(channels: np.ndarray, scores: Scores) -> np.ndarray:
    return channels[channels != channels[np.argmax(scores[channels])]]


@pytest.mark.parametrize("method", METHODS)
def test_rounding_is_inside_the_budget(method: Method) -> None:
    how = Selection(method, budget=Budget("macs", 0.5), round_to=4)
    removed = select(GROUPS, random_scores(1), COSTS, how)
    kept = [found.channels - len(removed.get(found.name, ())) for found in GROUPS]
    assert kept[0] % 2 == 0 and kept[1] % 4 == kept[2] % 4 == 0  # 12 are less than four steps of 4
    assert 0.3 < COSTS.of(kept_without(GROUPS, removed)).macs / COSTS.whole.macs <= 0.5


def test_ratios_of_some_groups() -> None:
    first, second, third = NAMES
    how = Selection("uniform", ratio=0.5, ratios={first: 0.0, second: 0.75})
    assert lost(select(GROUPS, random_scores(0), COSTS, how)) == {second: 12, third: 10}
    how = Selection("global", budget=Budget("params", 0.5), ratios={first: 0.25})
    removed = select(GROUPS, random_scores(0), COSTS, how)
    assert len(removed[first]) == 3 and COSTS.of(kept_without(GROUPS, removed)).params <= 0.5 * COSTS.whole.params


def test_a_group_without_scores_stays_whole() -> None:
    scores = random_scores(0)
    del scores[NAMES[1]]
    removed = select(GROUPS, scores, COSTS, Selection("global", ratio=0.5))
    assert NAMES[1] not in removed and lost(removed)[NAMES[0]] + lost(removed)[NAMES[2]] == 16


def test_most_and_least() -> None:
    removed = select(GROUPS, random_scores(0), COSTS, Selection("uniform", ratio=0.5, most=0.5, least=9))
    assert lost(removed) == dict(zip(NAMES, (3, 7, 10), strict=True))


def test_a_budget_that_cannot_be_met() -> None:
    with pytest.raises(
        InvalidRecipeError, match=r"macs=0.01 cannot be met: ([\d,]+) of .* the smallest .* is macs=0\."
    ) as e:
        select(GROUPS, random_scores(0), COSTS, Selection(budget=Budget("macs", 0.01)))
    smallest = float(str(e.value).rpartition("=")[2])
    removed = select(GROUPS, random_scores(0), COSTS, Selection(budget=Budget("macs", smallest)))
    assert lost(removed) == dict(zip(NAMES, (10, 14, 18), strict=True))


def test_scores_that_are_not_finite() -> None:
    scores = random_scores(0)
    scores[NAMES[0]][3] = np.nan
    with pytest.raises(InvalidModelError, match=f"{NAMES[0]}.*not finite"):
        select(GROUPS, scores, COSTS, Selection(ratio=0.5))


def test_a_group_that_is_not_there() -> None:
    with pytest.raises(InvalidRecipeError, match=f"no group 'stem_0_conv'; the nearest are {NAMES[0]}"):
        select(GROUPS, random_scores(0), COSTS, Selection(ratios={"stem_0_conv": 0.5}))


def test_nothing_to_prune() -> None:
    none = Groups((), (), GROUPS.program, GROUPS.components)
    with pytest.raises(InvalidRecipeError, match="the model has none"):
        select(none, {}, COSTS, Selection(ratio=0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 1.5}, r"ratio is the share of channels that go, in 0\.\.1, found 1.5"),
        ({"ratio": -0.1}, "found -0.1"),
        ({"ratio": float("nan")}, "found nan"),
        ({"ratio": 0.95}, "at most 0.9 of a group's channels may go"),
        ({"ratios": {"a": 2.0}}, "the ratio of a is the share"),
        ({"ratio": 0.5, "budget": Budget("macs", 0.5)}, "a ratio or a budget, found both ratio and macs"),
        ({"most": 1.0}, "most is a share"),
        ({"least": 0}, "least is a number"),
        ({"round_to": 0}, "round_to is a number"),
        ({"method": "local"}, "selection is one of uniform, global, isomorphic, found 'local'"),
    ],
)
def test_selections_that_are_none(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRecipeError, match=message):
        Selection(**options)  # type: ignore[arg-type]  # what a user may write


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_budgets_that_are_none(share: float) -> None:
    with pytest.raises(InvalidRecipeError, match="macs is the share of the unpruned model that stays"):
        Budget("macs", share)
