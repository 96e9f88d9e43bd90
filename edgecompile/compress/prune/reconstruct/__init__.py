"""Fitting what is left of a network to what the whole one computes, on inputs without labels."""

from edgecompile.compress.prune.reconstruct.reconstruct import reconstruct

__all__ = ["reconstruct"]
