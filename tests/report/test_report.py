"""Reports: files that can be read by people and by programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgecompile.compress.measuring.timing import Cost
from edgecompile.compress.quantize.mixed.judgement import Judgement, LayerResult, VariantResult
from edgecompile.compress.quantize.observers.histogram import Histogram
from edgecompile.compress.quantize.table import TensorRange
from edgecompile.errors import OutputError, ToolchainError
from edgecompile.report import report_folder
from edgecompile.report.folder import _file_name
from edgecompile.report.histograms import TensorHistogram, _histogram
from edgecompile.report.table import markdown

rng = np.random.default_rng(0)


def judgement(metric: bool = True, layers: int = 3) -> Judgement:
    results = [
        LayerResult(f"layer_{i}", None if i else 31.5, 0.01 if metric else None, 2.0, None, 900, i > 0, f"why | {i}")
        for i in range(layers)
    ]
    variants = [
        VariantResult("float", 0, 0.99 if metric else None, Cost(2.0, 1.9, 1.0), 50_000, 300_000),
        VariantResult("int8", layers, 0.91 if metric else None, Cost(1.0, 0.9, 0.5), 60_000, 80_000),
    ]
    return Judgement(
        "host", "ms", "mine.accuracy" if metric else "", None, tuple(variants), tuple(results), "x", "int8"
    )


def test_the_table() -> None:
    text = markdown(judgement())
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0].startswith("| model | int8 layers | mine.accuracy | median ms |")
    assert rows[3] == "| int8 | 3 of 3 | 0.91 | 1 | 0.9 | 0.50 | 140.0 | 0.40 |"
    assert rows[6] == "| layer_0 | float | 31.5 | 0.01 | 2 | - | 0.9 | why \\| 0 |"
    assert len({row.replace("\\|", "").count("|") for row in rows[4:]}) == 1


@pytest.mark.parametrize(("with_metric", "layers"), [(True, 3), (False, 3), (True, 60)])
def test_plots_are_images(with_metric: bool, layers: int) -> None:
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    import io

    from edgecompile.report.plot_layers import plot_layers
    from edgecompile.report.plot_trade_off import plot_trade_off

    result = judgement(with_metric, layers)
    for data in (plot_trade_off(result), plot_layers(result)):
        with image.open(io.BytesIO(data)) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert pixels.shape[0] > 300 and pixels.shape[1] > 600
        assert 0.001 < np.mean(pixels < 200) < 0.5, "there is something on it, and it is not black"
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert edge.min() > 250, "nothing is cut off"
    assert plot_trade_off(result) == plot_trade_off(result)


@pytest.mark.parametrize(
    "values",
    [
        rng.standard_normal(5000).astype(np.float32),
        np.abs(rng.standard_normal(777)).astype(np.float32) * 1e-6,
        np.full(10, -3.0, np.float32),
        np.zeros(10, np.float32),
    ],
)
def test_histograms_count_every_value(values: np.ndarray) -> None:
    found = Histogram()
    found.update(values)
    made = _histogram("t", found, TensorRange(low=-1.0, high=1.0))
    if values.any():
        edges = made.first + made.width * np.arange(len(made.counts) + 1)
        np.testing.assert_array_equal(made.counts, np.histogram(values, edges)[0])
        assert sum(made.counts) == values.size
    assert len(made.counts) <= 257
    assert made.clipped == pytest.approx(np.mean(np.abs(values) > 1), abs=0.01)
    pytest.importorskip("matplotlib")
    from edgecompile.report.plot_histogram import plot_histogram

    assert plot_histogram(made).startswith(b"\x89PNG")
    json.dumps(TensorHistogram(**vars(made)).__dict__, allow_nan=False)


def test_names_lead_nowhere() -> None:
    assert _file_name("../../etc/passwd") == ".._.._etc_passwd"
    assert _file_name("conv/1:é") == "conv_1_é"


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(OutputError, match=r"the report cannot be written to .*file"):
        report_folder(tmp_path / "file")
    assert report_folder(tmp_path / "a/b").is_dir()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match="need matplotlib: pip install 'edgecompile"):
        report_folder(tmp_path)
