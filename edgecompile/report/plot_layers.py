"""The plot of what each layer costs: its error, and its time in float and in int8."""

from __future__ import annotations

from edgecompile.compress.quantize.mixed.judgement import Judgement
from edgecompile.report.style import FLOAT, INT8, clear, new_figure, png, shortened

_INCHES_PER_LAYER = 0.24
_TALLEST = 60.0  # inches; matplotlib refuses images of 2^16 points


def plot_layers(judgement: Judgement) -> bytes:
    """PNG: signal-to-noise ratio of the outputs with one layer in int8, and the times of its kernels."""
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    layers = judgement.layers
    places = list(range(len(layers)))
    figure = new_figure(10.0, min(1.8 + _INCHES_PER_LAYER * len(layers), _TALLEST))
    error, time = figure.subplots(1, 2, sharey=True)
    error.barh(
        places,
        [layer.snr_db or 0.0 for layer in layers],
        color=[INT8 if layer.kept else FLOAT for layer in layers],
        height=0.7,
    )
    error.set_yticks(places, [shortened(layer.name) for layer in layers], fontsize=8)
    error.set_ylim(len(layers) - 0.4, -0.6)  # the first layer on top
    error.set_xlabel("SNR of the outputs [dB], this layer alone in int8")
    error.legend(
        handles=[Patch(color=INT8, label="ships in int8"), Patch(color=FLOAT, label="ships in float")],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        frameon=False,
        fontsize=8,
    )
    for offset, name, colour, costs in (
        (-0.19, "float", FLOAT, [layer.cost_float for layer in layers]),
        (0.19, "int8", INT8, [layer.cost_int8 for layer in layers]),
    ):
        time.barh([place + offset for place in places], [cost or 0.0 for cost in costs], 0.36, color=colour, label=name)
    time.set_xlabel(f"time of its kernels [{judgement.unit}]")
    time.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)
    time.tick_params(axis="y", left=False)
    for axes in (error, time):
        clear(axes, grid="x")
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return png(figure)
