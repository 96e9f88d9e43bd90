"""Structured pruning: whole channels and heads go."""

from edgecompile.compress.prune.prune import prune

__all__ = ["prune"]
