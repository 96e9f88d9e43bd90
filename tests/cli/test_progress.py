"""Progress and warnings: for people at a terminal, quiet elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edgecompile.cli.progress import phases

SCRIPT = """
from edgecompile.cli.progress import phases
with phases() as progress:
    if progress:
        progress("reading")
        progress("writing")
"""


def test_phases_are_shown_on_a_terminal() -> None:
    reading, writing = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    subprocess.run([sys.executable, "-c", SCRIPT], stderr=writing, env=environment, check=True)
    os.close(writing)
    shown = os.read(reading, 10_000).decode()
    os.close(reading)
    assert "writing" in shown


def test_nothing_is_shown_without_a_terminal() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert found.stdout + found.stderr == ""
    with phases() as progress:
        assert progress is None


def warn(debug: str) -> str:
    """What a warning of ours and one of a library print."""
    script = """
import warnings
from pathlib import Path
import edgecompile.cli.notices as notices
notices.show_notices()
warnings.warn_explicit("two\\n lines", UserWarning, notices.__file__, 1)
warnings.warn_explicit("not ours", UserWarning, "/somewhere/torch/x.py", 2)
"""
    environment = {**os.environ, "EDGECOMPILE_DEBUG": debug}
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return found.stderr


@pytest.mark.parametrize("debug", ["0", "1"])
def test_warnings(debug: str) -> None:
    shown = warn(debug)
    if debug == "0":
        assert shown == "warning: two lines\n"
    else:
        assert "/somewhere/torch/x.py:2: UserWarning: not ours" in shown


COUNTS = """
from edgecompile.cli.progress import counts
with counts() as progress:
    if progress:
        progress("simplify", 0, None)
        for done in range(1, 8):
            progress("calibrate", done, 9)
"""


def test_counts_are_shown_on_a_terminal() -> None:
    reading, writing = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    subprocess.run([sys.executable, "-c", COUNTS], stderr=writing, env=environment, check=True)
    os.close(writing)
    shown = os.read(reading, 10_000).decode()
    os.close(reading)
    assert "calibrate" in shown
    assert "7/9" in shown
    found = subprocess.run([sys.executable, "-c", COUNTS], capture_output=True, text=True, check=True)
    assert found.stdout + found.stderr == ""
