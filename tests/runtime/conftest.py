from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecompile.target import Target, find_target
from tests.runtime import dense
from tests.runtime.library import Library


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of this run's own, so that the runtime is really compiled."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECOMPILE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def host() -> Target:
    return find_target("host")


@pytest.fixture(scope="session")
def built(host: Target, tmp_path_factory: pytest.TempPathFactory, cache: Path) -> dense.Built:
    return dense.build(dense.describe("dense", host), tmp_path_factory.mktemp("dense"))


@pytest.fixture(scope="session")
def library(built: dense.Built) -> Library:
    return Library(built.library, "dense")
