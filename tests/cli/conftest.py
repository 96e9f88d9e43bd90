"""The hand-written network, linked once; an artifact of it, written anew for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.artifact import tiny


@pytest.fixture(scope="session")
def tiny_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with its libraries, headers and weights."""
    folder = tmp_path_factory.mktemp("tiny") / "linked"
    tiny.link(tiny.host(), folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, tiny_library: Path) -> Path:
    """An artifact that nothing is wrong with."""
    out = tmp_path / "net"
    tiny.write(out, tiny_library)
    return out
