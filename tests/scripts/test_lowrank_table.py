"""The table of factorisations: what it refuses, how it reads, and the bars that it must show."""

from __future__ import annotations

import pytest

from scripts import lowrank_table
from scripts.lowrank_table import Row, main, measure


@pytest.mark.parametrize("option", ["networks", "methods"])
def test_unknown_names(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--{option}", "nonsense"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 'nonsense' is not among") and error.count("\n") == 1


def test_a_wrong_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--budget", "params=0.33", "--methods", "svd,qr"]) == 2
    assert "'qr' is not among" in capsys.readouterr().err


def test_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        Row("digits_vgg", "tucker", "results", 0.328, 0.5, 0.6, 0.61, 99.44),
        Row("digits_vgg", "cp", "weights", *[0.0] * 5, "no rank"),
    ]
    monkeypatch.setattr(lowrank_table, "measure", lambda *arguments: rows)
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "0.328" in printed and "99.44 %" in printed and "no rank" in printed


@pytest.mark.slow
def test_the_bars_of_a_vgg_network() -> None:
    """3x fewer parameters cost at most one point of accuracy, and the compiled network is faster."""
    plain, *others = measure("digits_vgg", ["svd", "tucker"], "params=0.33", 64)
    aware = [row for row in others if row.errors_of == "results"]
    assert [row.method for row in aware] == ["svd", "tucker"]
    for row in aware:
        assert row.params <= 1 / 3
        assert row.accuracy >= plain.accuracy - 1
        assert row.least_time < 0.9
