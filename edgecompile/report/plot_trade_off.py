"""The plot of accuracy against latency and size."""

from __future__ import annotations

from typing import Any

from edgecompile.compress.measuring.wording import number
from edgecompile.compress.quantize.mixed.judgement import Judgement, VariantResult
from edgecompile.report.style import COLOURS, MARKERS, clear, new_figure, png


def plot_trade_off(judgement: Judgement) -> bytes:
    """PNG: the metric of each variant over its latency, and over its size; without a metric latency over size."""
    metrics = [variant.metric for variant in judgement.variants if variant.metric is not None]
    costs = [variant.cost.median for variant in judgement.variants]
    sizes = [variant.total_bytes / 1000 for variant in judgement.variants]
    latency = f"latency [{judgement.unit}, {'median' if judgement.unit == 'ms' else 'estimated'}]"
    size = "size [KB, library and weights]"
    if not metrics:
        figure = new_figure(6.4, 4.4)
        axes = figure.subplots()
        _points(axes, judgement, sizes, costs)
        _label(axes, size, latency)
        axes.set_ylim(bottom=0)
    else:
        figure = new_figure(8.6, 4.4)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, values, label in zip(panels, (costs, sizes), (latency, size), strict=True):
            _points(axes, judgement, values, metrics)
            _label(axes, label, judgement.metric.rpartition(".")[2] if axes is panels[0] else "")
            _limit(axes, judgement, metrics)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.suptitle(f"{judgement.target}: {judgement.ships} ships", fontsize=11)
    return png(figure)


def _points(axes: Any, judgement: Judgement, across: list[float], up: list[float]) -> None:
    for variant, x, y in zip(judgement.variants, across, up, strict=True):
        marker, points, filling = MARKERS[variant.name]
        axes.plot(
            x,
            y,
            marker,
            color=COLOURS[variant.name],
            markersize=points,
            markerfacecolor=filling,
            markeredgewidth=2,
            label=_legend(variant, judgement),
            clip_on=False,
            zorder=3,
        )


def _legend(variant: VariantResult, judgement: Judgement) -> str:
    accuracy = "" if variant.metric is None else f"{number(variant.metric)}, "
    ships = " (ships)" if variant.name == judgement.ships else ""
    size = f"{variant.total_bytes / 1000:,.0f} KB"
    return f"{variant.name}{ships}: {accuracy}{number(variant.cost.median)} {judgement.unit}, {size}"


def _label(axes: Any, across: str, up: str) -> None:
    clear(axes, grid="both")
    axes.set_xlabel(across)
    if up:
        axes.set_ylabel(up)
    axes.set_xlim(0, 1.08 * axes.get_xlim()[1])


def _limit(axes: Any, judgement: Judgement, metrics: list[float]) -> None:
    """The axis around the metrics, with the line below which none may be."""
    lines = list(metrics)
    if judgement.max_drop is not None:
        least = metrics[0] - judgement.max_drop
        lines.append(least)
        axes.axhline(least, color="black", linewidth=0.9, linestyle="--", label=f"limit: {number(least)}")
    room = max(max(lines) - min(lines), 0.02 * max(map(abs, lines)), 1e-9) * 0.2
    axes.set_ylim(min(lines) - room, max(lines) + room)
    axes.ticklabel_format(axis="y", useOffset=False)
