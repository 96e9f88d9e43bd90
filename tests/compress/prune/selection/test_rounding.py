"""Counts that kernels like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompile.compress.prune.selection.ranking import Ranking
from edgecompile.compress.prune.selection.rounding import Allowed, step_of, vector_multiple
from edgecompile.target import find_target
from tests.compress.prune.selection.groups import group


@pytest.mark.parametrize(
    ("channels", "repeats", "round_to", "step"),
    [
        (64, 1, 16, 16),
        (61, 1, 16, 8),  # less than four steps of 16
        (8, 1, 16, 2),
        (7, 1, 16, 1),
        (2, 1, 8, 1),
        (64, 1, 1, 1),
        (32, 2, 16, 8),  # 16 outputs are 8 channels
        (12, 64, 16, 1),  # a head is whole vectors
        (48, 24, 16, 2),
        (4, 18, 16, 1),
        (48, 1, 12, 12),
        (40, 1, 12, 6),
    ],
)
def test_steps(channels: int, repeats: int, round_to: int, step: int) -> None:
    assert step_of(group("layer", channels, repeats=repeats), round_to) == step


@pytest.mark.parametrize(("name", "multiple"), [("rpi4", 4), ("host,vector_bytes=32", 8), ("host,vector_bytes=64", 16)])
def test_auto_is_a_vector_of_the_target(name: str, multiple: int) -> None:
    assert vector_multiple(find_target(name)) == multiple


def test_sixty_one_channels_cost_as_much_as_sixty_four() -> None:
    allowed = Allowed.of(group("layer", 128), most=0.9, least=1, round_to=16)
    assert allowed == Allowed(128, 13, 16)
    assert [allowed.nearest(count) for count in (128, 127, 120, 72, 61, 1)] == [128, 128, 112, 64, 64, 16]


@given(
    channels=st.integers(2, 300),
    most=st.floats(0.05, 0.95),
    least=st.integers(1, 20),
    round_to=st.sampled_from([1, 3, 4, 8, 12, 16]),
)
def test_what_stays_is_allowed(channels: int, most: float, least: int, round_to: int) -> None:
    allowed = Allowed.of(group("layer", channels), most=most, least=least, round_to=round_to)
    found = [allowed.nearest(count) for count in range(allowed.floor, channels + 1)]
    assert found == sorted(found) and found[-1] == channels
    assert all(count == channels or count % allowed.step == 0 for count in found)
    assert min(found) >= min(max(least, 1, channels * (1 - most) - 1e-6), channels)


@given(
    channels=st.integers(2, 300),
    repeats=st.integers(1, 40),
    ratio=st.floats(0.25, 0.9),
    round_to=st.sampled_from([1, 4, 8, 16]),
)
def test_a_quarter_shrinks_any_group(channels: int, repeats: int, ratio: float, round_to: int) -> None:
    one = group("layer", channels, repeats=repeats)
    allowed = Allowed.of(one, most=0.9, least=1, round_to=round_to)
    ranking = Ranking([one], {"layer": one.components.astype(float)}, [allowed], "uniform", {})
    (kept,) = ranking.kept(ratio)
    assert 1 <= kept < channels
