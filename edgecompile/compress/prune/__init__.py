"""Structured pruning: whole channels and heads go."""
