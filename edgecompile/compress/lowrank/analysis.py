"""The analysis of a low-rank step."""

from __future__ import annotations

from typing import Any, NoReturn

from edgecompile.errors import InvalidRecipeError


def analyze_factorisation(*_: Any, **__: Any) -> NoReturn:
    """There is none of layers by ranks.

    Raises:
        InvalidRecipeError: always.
    """
    raise InvalidRecipeError(
        "analyze measures what a step does to one layer at a time, and has no ranks to try for lowrank; use compress "
        "with --eval or --report, whose table gives each layer's error and time"
    )
