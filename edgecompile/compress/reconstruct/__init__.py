"""Fitting what is left of a network to what the whole one computes, on inputs without labels."""

from edgecompile.compress.reconstruct.asked import how_to_fit
from edgecompile.compress.reconstruct.reconstruct import reconstruct

__all__ = ["how_to_fit", "reconstruct"]
