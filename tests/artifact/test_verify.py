"""The self-test: what counts as equal, and what does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgecompile.artifact.manifest import SELFTEST_NAME
from edgecompile.artifact.open import open
from edgecompile.artifact.selftest import SelfTest, write_selftest
from edgecompile.artifact.verify import relative_difference
from edgecompile.artifact.write import seal
from edgecompile.errors import InvalidArtifactError
from tests.artifact import tiny

INF, NAN = float("inf"), float("nan")


def reseal(folder: Path, selftest: SelfTest | None, **changes: object) -> None:
    """Another self-test in an artifact that is otherwise the same."""
    (folder / SELFTEST_NAME).unlink()
    if selftest:
        write_selftest(folder, selftest)
    seal(folder, tiny.facts(**changes))


def test_a_good_artifact_passes(folder: Path) -> None:
    with open(folder) as artifact:
        result = artifact.verify()
    assert result.ok
    assert bool(result)
    assert [(entry.output, entry.against) for entry in result.comparisons] == [
        ("y", "compiled"),
        ("z", "compiled"),
        ("y", "reference"),
        ("z", "reference"),
    ]
    assert (result.reference_name, result.machine) == ("numpy", "native")


def test_the_reference_has_a_tolerance_and_integers_have_none(folder: Path) -> None:
    good = tiny.selftest()
    near = good.reference["y"] * np.float32(1 + 1e-5)
    off = good.reference["z"].copy()
    off[0, 0] += 1
    reseal(folder, dataclasses.replace(good, reference={"y": near, "z": off}))
    with open(folder) as artifact:
        result = artifact.verify()
    assert not result.ok
    assert [entry.ok for entry in result.comparisons] == [True, True, True, False]
    assert 0 < result.comparisons[2].difference < 1e-4


def test_nothing_to_compare_with_is_no_success(folder: Path) -> None:
    reseal(folder, SelfTest(tiny.selftest().inputs, {}, {}))
    with open(folder) as artifact:
        assert not artifact.verify().ok


def test_without_a_selftest_it_says_so(folder: Path) -> None:
    reseal(folder, None)
    with open(folder) as artifact, pytest.raises(InvalidArtifactError, match=r"has no selftest.npz"):
        artifact.verify()


@pytest.mark.parametrize(
    ("found", "expected", "difference"),
    [
        ([1.0, 2.0], [1.0, 3.0], 0.5),
        ([5.0, 5.0], [4.0, 4.0], 0.25),  # a constant's magnitude stands for its range
        ([0.5], [0.0], 0.5),
        ([NAN, 1.0], [NAN, 1.0], 0.0),
        ([NAN, 1.0], [1.0, 1.0], INF),
        ([1.0, 1.0], [NAN, 1.0], INF),
        ([INF], [INF], 0.0),
        ([INF], [-INF], INF),
        ([INF, 1.0], [NAN, 1.0], INF),
        ([], [], 0.0),
        ([1.0], [1.0, 2.0], INF),
    ],
)
def test_relative_difference(found: list[float], expected: list[float], difference: float) -> None:
    assert relative_difference(np.array(found), np.array(expected)) == difference


def test_large_integers_are_not_rounded_together() -> None:
    assert relative_difference(np.array([2**60 + 1]), np.array([2**60])) > 0


@given(arrays(np.float32, st.integers(0, 5)))
def test_anything_equals_itself(array: np.ndarray) -> None:
    assert relative_difference(array, array.copy()) == 0
