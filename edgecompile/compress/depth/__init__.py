"""Whole residual blocks go: what they add is left out."""

from edgecompile.compress.depth.step import remove_blocks

__all__ = ["remove_blocks"]
