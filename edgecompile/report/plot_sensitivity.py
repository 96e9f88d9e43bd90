"""The heat map of what each layer loses and gains at each level of compression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from edgecompile.compress.sensitivity.grid import LevelEffect, SensitivityGrid
from edgecompile.report.style import new_figure, png, shortened

_INCHES_PER_LAYER = 0.24
_TALLEST = 60.0  # inches; matplotlib refuses images of 2^16 points
_INCHES_PER_LEVEL = 0.6
_TOGETHER = "all of them"


class _Panel(NamedTuple):
    """One quantity, its colours dark where more is lost or less time is gained, and the form of its numbers."""

    title: str
    value: Callable[[LevelEffect], float | None]
    colours: str
    text: str


def plot_sensitivity(grid: SensitivityGrid) -> bytes:
    """PNG: a row for each layer and a column for each level, with a panel for each quantity that was measured."""
    rows: list[tuple[str, dict[float, LevelEffect]]] = list(grid.layers.items())
    if grid.together:
        rows.append((_TOGETHER, grid.together))
    levels = sorted({level for _, found in rows for level in found})
    estimated = ", estimated" if grid.is_estimated else ""
    panels = [
        panel
        for panel in (
            _Panel("drop of the metric", grid.drop, "cividis_r", "{:.3g}"),
            _Panel("SNR of the outputs [dB]", lambda effect: effect.snr_db, "cividis", "{:.1f}"),
            _Panel(f"time on {grid.target}, of 1{estimated}", lambda effect: effect.time, "cividis_r", "{:.2f}"),
        )
        if any(panel.value(effect) is not None for _, found in rows for effect in found.values())
    ]
    width = 3.2 + len(panels) * (0.9 + _INCHES_PER_LEVEL * len(levels))
    figure = new_figure(width, min(1.6 + _INCHES_PER_LAYER * len(rows), _TALLEST))
    found = figure.subplots(1, max(len(panels), 1), sharey=True, squeeze=False)[0]
    for axes, panel in zip(found, panels, strict=False):
        _draw(figure, axes, panel, rows, levels, grid.level)
    found[0].set_yticks(range(len(rows)), [shortened(name) for name, _ in rows], fontsize=8)
    figure.suptitle(shortened(f"{grid.name}: {grid.kind}, one layer at a time", 80), fontsize=11)
    return png(figure)


def _draw(
    figure: Any,
    axes: Any,
    panel: _Panel,
    rows: Sequence[tuple[str, dict[float, LevelEffect]]],
    levels: Sequence[float],
    level_name: str,
) -> None:
    """One panel; a cell that is not known stays white."""
    import numpy as np

    values = np.full((len(rows), len(levels)), np.nan)
    for row, (_, found) in enumerate(rows):
        for column, level in enumerate(levels):
            value = panel.value(found[level]) if level in found else None
            values[row, column] = np.nan if value is None else value
    # All layers together would take the colours from the differences between them.
    alone = values[[name != _TOGETHER for name, _ in rows]]
    known = alone[~np.isnan(alone)]
    low, high = (float(known.min()), float(known.max())) if known.size else (None, None)
    image = axes.imshow(values, cmap=panel.colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            colour = "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"
            axes.text(column, row, panel.text.format(value), ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels], fontsize=8)
    axes.set_xlabel(level_name)
    axes.set_title(panel.title, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, fraction=0.06, pad=0.02).ax.tick_params(labelsize=7)
