"""What the scripts' options are made of."""

from __future__ import annotations

import argparse


def names(text: str) -> tuple[str, ...]:
    """`a, b,a` -> ("a", "b")."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def positive(text: str) -> int:
    """A number from one on; anything else is a usage error."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1 is needed, found {number}")
    return number
