"""The README's commands and programs run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"<!-- run -->\n```(\w+)\n(.*?)```", re.DOTALL)


def blocks(repository: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall((repository / "README.md").read_text()) if found == language]


def environment() -> dict[str, str]:
    programs = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.board
def test_commands(repository: Path, tmp_path: Path) -> None:
    (script,) = blocks(repository, "sh")
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=environment(), check=True)
    assert (tmp_path / "build/pi/libdigits_resnet.so").is_file()


def test_python(repository: Path, tmp_path: Path) -> None:
    (program,) = blocks(repository, "python")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), check=True, capture_output=True, text=True
    )
    assert "median" in done.stdout
    assert re.search(r"[\d,]+ MACs", done.stdout)
