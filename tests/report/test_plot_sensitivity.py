"""Heat maps of sensitivities."""

from __future__ import annotations

import io

import numpy as np
import pytest

from edgecompile.compress.sensitivity.grid import LevelEffect, SensitivityGrid
from edgecompile.compress.sensitivity.record import Effect, Key

pytest.importorskip("matplotlib")

KEY = Key(model="0" * 64, step="1" * 64)


def grid(**effect: float) -> SensitivityGrid:
    found = SensitivityGrid(name="net", kind="prune", level="ratio", key=KEY, uncompressed=Effect(), target="host")
    for layer in ("a_very_long_name_of_a_layer_" * 4, "second", None):
        found = found.changed(layer, 0.5, LevelEffect(**effect))
    return found.changed("second", 0.25, LevelEffect(**effect))


def image(found: SensitivityGrid) -> np.ndarray:
    from matplotlib import image as images

    from edgecompile.report.plot_sensitivity import plot_sensitivity

    data = plot_sensitivity(found)
    assert data == plot_sensitivity(found), "the same bytes each time"
    pixels: np.ndarray = images.imread(io.BytesIO(data))
    return pixels


def test_a_panel_for_each_quantity() -> None:
    one = image(grid(snr_db=12.0))
    two = image(grid(snr_db=12.0, time=0.9))
    assert two.shape[1] > one.shape[1]
    assert one.std() > 0.1


def test_nothing_measured_yet() -> None:
    empty = grid().model_copy(update={"layers": {}, "together": {}})
    assert image(empty).size > 0
