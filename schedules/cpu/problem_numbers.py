"""The numbers of a convolution among a block's annotations, as a `Convolution` again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgecompile.convolution import Convolution


def read_problem(numbers: Mapping[str, Any]) -> Convolution:
    """What `dataclasses.asdict` made of a problem, after its way through JSON."""
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in numbers.items()}
    return Convolution(**fields)
