"""Structured pruning: whole channels, heads and layers go."""
