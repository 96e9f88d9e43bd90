"""The table of rounding errors: its figures by hand, one small network for real, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts import accuracy_table
from scripts.accuracy_table import Error, Row, compare, random_inputs


def test_an_error_is_a_part_of_its_own_outputs_range() -> None:
    references = [[np.array([0.0, 8.0]), np.array([1.0])], [np.array([-8.0, 0.0]), np.array([2.0])]]
    answers = [
        [array.astype(np.float32) + step for array, step in zip(arrays, (1.6, 0.25), strict=True)]
        for arrays in references
    ]
    error = compare(references, answers)
    # Ranges 16 and 1: four elements are off by 0.1 of theirs, two by 0.25.
    assert error.largest == pytest.approx(0.25)
    assert error.rms == pytest.approx(((4 * 0.1**2 + 2 * 0.25**2) / 6) ** 0.5, rel=1e-6)


def test_ratios() -> None:
    exact, small, large = Error(0, 0), Error(1e-8, 1e-7), Error(2e-8, 5e-7)
    assert Row("m", 1, large, small).ratio == pytest.approx(5)
    assert Row("m", 1, exact, exact).ratio == 1
    assert Row("m", 1, small, exact).ratio == float("inf")


def test_random_inputs_are_of_the_examples_kind() -> None:
    examples = [np.zeros((2, 3), np.float32), np.array([[3, 9, 4]])]
    inputs = random_inputs(examples, 5)
    for floats, integers in inputs:
        assert floats.shape == (2, 3) and floats.dtype == np.float32
        assert integers.shape == (1, 3) and set(integers.ravel()) <= {3, 9, 4}
    assert not np.array_equal(inputs[0][0], inputs[1][0])


def test_a_network_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="the export needs the extra `bench`")
    arguments = ["--models", "keyword_spotting", "--inputs", "2", "--json", str(tmp_path / "rows.json")]
    assert accuracy_table.main(arguments) == 0
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    # An error of float32, not of another network's weights.
    assert 1e-9 < row["ours"]["rms"] < row["ours"]["largest"] < 1e-6
    assert 1e-9 < row["onnxruntime"]["rms"] < 1e-6
    assert "keyword_spotting" in capsys.readouterr().out


def test_a_ratio_beyond_the_limit_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Row("resnet18", 1, Error(3e-8, 3e-7), Error(1e-8, 1e-7))]
    monkeypatch.setattr(accuracy_table, "_run", lambda options: rows)
    assert accuracy_table.main([]) == 0
    assert accuracy_table.main(["--limit", "2.5"]) == 1
    assert "NO" in capsys.readouterr().out


def test_an_unknown_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert accuracy_table.main(["--models", "resnet19"]) == 2
    assert "no network is named 'resnet19'" in capsys.readouterr().err
