"""A case made by hand: workers read it from its folder like an exported one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts.bench.case import Case, read_case


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """One input and one output, whose range is 1."""
    folder: Path = tmp_path_factory.mktemp("case")
    np.savez(folder / "inputs.npz", x=np.ones((1, 4), np.float32))
    np.savez(folder / "expected.npz", **{"0": np.linspace(0, 1, 5, dtype=np.float32)})
    (folder / "case.json").write_text(json.dumps({"name": "tiny", "macs": 500_000, "inputs": ["x"], "outputs": 1}))
    return read_case(folder)
