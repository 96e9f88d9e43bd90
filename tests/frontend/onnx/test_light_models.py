"""The nine small classic networks in the onnx package agree with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.backend.test
import pytest

from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import run

MODELS = sorted((Path(onnx.backend.test.__file__).parent / "data" / "light").glob("*.onnx"))


def test_all_nine_are_there() -> None:
    assert len(MODELS) == 9


@pytest.mark.slow
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_light_model(path: Path) -> None:
    model = load_onnx(path)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(spec.shape, np.float32) for spec in model.inputs]
    assert model.reference is not None
    for have, want in zip(run(model, inputs), model.reference(inputs), strict=True):
        scale = max(float(np.ptp(want)), 1e-3)
        assert float(np.max(np.abs(have - want))) < 1e-4 * scale
