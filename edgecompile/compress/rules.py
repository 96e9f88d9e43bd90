"""The rules of a recipe, default < operators < layers: which of them are for a layer, and which for none."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from edgecompile.errors import InvalidRecipeError

_Rule = TypeVar("_Rule")
_SHOWN = 3


def rules_for(
    names: Collection[str],
    kinds: Collection[str],
    operators: Mapping[str, _Rule],
    layers: Mapping[str, _Rule],
) -> list[tuple[str, _Rule]]:
    """Those that change the default, with their names for people; of two the later one wins.

    Args:
        names: of what a rule may be for: a layer, or the layers that must agree.
        kinds: their operators.
        operators: rules by operator.
        layers: rules by pattern of names.
    """
    found = [(f"operators.{operator}", rule) for operator, rule in operators.items() if operator in kinds]
    return found + [
        (f"layers.{pattern}", rule)
        for pattern, rule in layers.items()
        if any(fnmatchcase(name, pattern) for name in names)
    ]


def refuse_unmatched(patterns: Iterable[str], names: Collection[str], what: str) -> None:
    """Make sure that each pattern is for something.

    Args:
        what: the names are of: "layer with weights".

    Raises:
        InvalidRecipeError: one matches none of the names; says which are near.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            # The nearest by letters; a pattern that is all wildcards resembles nothing, and gets the first ones.
            near = difflib.get_close_matches(pattern.strip("*"), names, n=_SHOWN, cutoff=0.3) or [*names][:_SHOWN]
            raise InvalidRecipeError(f"the pattern {pattern!r} matches no {what}; the nearest are {', '.join(near)}")
