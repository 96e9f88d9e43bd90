"""Convolutions in groups of a few channels."""
