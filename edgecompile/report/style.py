"""What all plots share: figures without global state, the colours, and PNG bytes that are the same each time."""

from __future__ import annotations

import io
from typing import Any

FLOAT, INT8, MIXED = "#7f7f7f", "#1f77b4", "#d95f02"  # told apart by people who confuse red and green, and in grey
COLOURS = {"float": FLOAT, "int8": INT8, "mixed": MIXED}
# Two variants may be almost the same: then a diamond is seen in a ring.
MARKERS = {"float": ("s", 9.0, "none"), "int8": ("o", 14.0, "none"), "mixed": ("D", 6.0, MIXED)}
_DPI = 120


def new_figure(width: float, height: float) -> Any:
    """A matplotlib figure of so many inches, apart from `pyplot` and its windows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def clear(axes: Any, *, grid: str) -> None:
    """Only the lines that help to read values: no box, a pale grid along "x", "y" or "both"."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def png(figure: Any) -> bytes:
    """The figure as a PNG file, without the versions of programs in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def shortened(name: str, most: int = 44) -> str:
    """A long name without its middle; the ends tell layers apart."""
    keep = (most - 1) // 2
    return name if len(name) <= most else f"{name[:keep]}…{name[-keep:]}"
