"""`Criterion`: a rule by which channels are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from edgecompile.compress.prune.channels.group import Group

if TYPE_CHECKING:
    from edgecompile.compress.prune.importance.evidence import Evidence

Scores: TypeAlias = npt.NDArray[np.float64]
"""[channels], not negative; more is more important."""


class Criterion(NamedTuple):
    """What scores the channels of a group.

    Attributes:
        score: of each channel; None where nothing is known of the group.
        needs: "data" for what the activations are on calibration data, "gradients" for those of a loss on them.
        is_relative: True where scores are comparable within a group only; see `scores`.
    """

    score: Callable[[Group, Evidence], Scores | None]
    needs: Literal["weights", "data", "gradients"]
    is_relative: bool
