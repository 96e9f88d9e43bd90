"""Measured numbers in words."""

from __future__ import annotations


def place_of_time(plain: float | None, int8: float | None, unit: str) -> str:
    """`0.0014 ms in place of 0.0044`."""
    if plain is None or int8 is None:
        return f"{unit} not known"
    return f"{number(int8)} {unit} in place of {number(plain)}"


def number(value: float | None) -> str:
    """Four digits that matter; thousands in words of a table."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
