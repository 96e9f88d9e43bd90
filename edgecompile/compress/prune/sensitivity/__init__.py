"""What each group of channels loses when some of it go, and how much may go for a given loss."""

from edgecompile.compress.prune.sensitivity.ratios import ratios_for

__all__ = ["ratios_for"]
