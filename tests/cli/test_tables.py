"""Tables stay readable at any width: no number is broken, and without a terminal each row is one line."""

from __future__ import annotations

import sys

import click
import pytest

from edgecompile.cli.tables import Percent, print_table

COLUMNS = ("step", "kernel", "layers", "operators", "MACs", "read", "written", "weights", "scratch")
ROWS = [
    (index, "fused_conv2d_add_relu", "stem_0 stem_1", "conv2d add", 589824, 16384, 8192, 9280, None) for index in (0, 1)
]


def pretend_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Standard output claims to be a terminal of `width` characters."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_no_number_is_broken(monkeypatch: pytest.MonkeyPatch, width: int, capsys: pytest.CaptureFixture[str]) -> None:
    pretend_terminal(monkeypatch, width)
    print_table(COLUMNS, ROWS)
    text = click.unstyle(capsys.readouterr().out)
    assert max(map(len, text.splitlines())) <= width
    for number in ("589,824", "16,384", "8,192", "9,280"):
        assert text.count(number) == len(ROWS)


def test_rows_become_records_where_columns_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_terminal(monkeypatch, 80)
    print_table(COLUMNS, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert "kernel     fused_conv2d_add_relu" in lines
    assert "scratch    -" in lines
    print_table(COLUMNS[:2], [row[:2] for row in ROWS])
    assert click.unstyle(capsys.readouterr().out).splitlines()[1].split() == ["step", "kernel"]


def test_a_row_is_one_line_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [("layer " * 100, *row[1:]) for row in ROWS])
    assert len([line for line in capsys.readouterr().out.splitlines() if "589,824" in line]) == len(ROWS)


def test_percentages(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("part", "of all"), [("one", Percent(0.1234)), ("all", Percent(1.0)), ("unknown", None)])
    assert [line.split() for line in capsys.readouterr().out.splitlines() if line][2:] == [
        ["one", "12.3", "%"],
        ["all", "100.0", "%"],
        ["unknown", "-"],
    ]
