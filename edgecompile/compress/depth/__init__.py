"""Whole residual blocks go: what they add is left out."""
