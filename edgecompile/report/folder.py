"""The folder of a report: numbers as JSON, a table in Markdown, and plots as PNG."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompile.errors import OutputError, ToolchainError

if TYPE_CHECKING:
    from edgecompile.compress.quantize.mixed.judgement import Judgement
    from edgecompile.compress.quantize.prepared import Prepared

RESULTS_NAME = "results.json"
TABLE_NAME = "results.md"
TRADE_OFF_NAME = "trade_off.png"
LAYERS_NAME = "layers.png"
HISTOGRAMS_NAME = "histograms"


def report_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder, before minutes are spent on what shall be in it.

    Raises:
        ToolchainError: there is no matplotlib.
        OutputError: the folder cannot be made.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ToolchainError("the plots of a report need matplotlib: pip install 'edgecompile[report]'")
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the report cannot be written to {folder}: {error.strerror or error}") from error
    return folder


def write_report(folder: Path, judgement: Judgement, ready: Prepared, progress: Callable[[str], None]) -> None:
    """Write all files; those of an earlier report are replaced.

    Args:
        folder: from `report_folder`.
        judgement: what was measured.
        ready: the quantization, for the histograms of its tensors; there are none without samples.

    Raises:
        OutputError: a file cannot be written.
    """
    from edgecompile.report.histograms import tensor_histograms
    from edgecompile.report.plot_histogram import plot_histogram
    from edgecompile.report.plot_layers import plot_layers
    from edgecompile.report.plot_trade_off import plot_trade_off
    from edgecompile.report.table import markdown

    progress("report")
    _write(folder / RESULTS_NAME, _json(dataclasses.asdict(judgement)))
    _write(folder / TABLE_NAME, markdown(judgement).encode())
    _write(folder / TRADE_OFF_NAME, plot_trade_off(judgement))
    _write(folder / LAYERS_NAME, plot_layers(judgement))
    histograms = tensor_histograms(ready, progress)
    if histograms:
        report_folder(folder / HISTOGRAMS_NAME)
    for histogram in histograms:
        place = folder / HISTOGRAMS_NAME / _file_name(histogram.tensor)
        _write(place.with_name(f"{place.name}.json"), _json(dataclasses.asdict(histogram)))
        _write(place.with_name(f"{place.name}.png"), plot_histogram(histogram))


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode("ascii")


def _file_name(tensor: str) -> str:
    """The tensor's name with nothing in it that leads to another folder."""
    return "".join(character if character.isalnum() or character in "._-" else "_" for character in tensor)[:120]


def _write(path: Path, data: bytes) -> None:
    from edgecompile.artifact.write import write_file

    write_file(path, data)
