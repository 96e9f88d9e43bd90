"""The plot of one tensor's values and the range that its integers span."""

from __future__ import annotations

from edgecompile.report.histograms import TensorHistogram
from edgecompile.report.style import INT8, MIXED, clear, new_figure, png, shortened


def plot_histogram(histogram: TensorHistogram) -> bytes:
    """PNG: counts on a logarithmic axis, and the lowest and the highest value that int8 can say."""
    figure = new_figure(6.4, 3.4)
    axes = figure.subplots()
    edges = [histogram.first + index * histogram.width for index in range(len(histogram.counts) + 1)]
    axes.stairs(histogram.counts, edges, fill=True, color=INT8)
    for value, name in ((histogram.low, "lowest"), (histogram.high, "highest")):
        axes.axvline(value, color=MIXED, linewidth=1.4, label=f"{name} int8: {value:.4g}")
    if max(histogram.counts, default=0) > 0:
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.8)
    clear(axes, grid="y")
    axes.set_xlabel("value")
    axes.set_ylabel("count")
    step = (histogram.high - histogram.low) / 255
    axes.set_title(
        f"{shortened(histogram.tensor, 60)}\nstep {step:.4g}, {100 * histogram.clipped:.3g} % of the values clipped",
        fontsize=9,
    )
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2, frameon=False, fontsize=8)
    return png(figure)
