"""Data-driven rewrites of a model, and their recipes."""
