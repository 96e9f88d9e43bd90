"""`how_to_fit`: what a recipe asks for and the data that there are, to how a model is reconstructed."""

from __future__ import annotations

from typing import Literal

from edgecompile.compress.samples.replay import Replay
from edgecompile.errors import InvalidInputError


def how_to_fit(
    asked: Literal["auto", "none", "bias", "least_squares"], samples: Replay | None
) -> Literal["none", "bias", "least_squares"]:
    """What to do, "auto" decided: least squares where there are data.

    Raises:
        InvalidInputError: there are no data to fit to.
    """
    if asked == "auto":
        return "none" if samples is None else "least_squares"
    if asked != "none" and samples is None:
        raise InvalidInputError(
            f"reconstruct={asked} needs calibration data, found none: give data=, or reconstruct=none"
        )
    return asked
