"""Single weights become zero, wherever they are; what is left is stored."""

from edgecompile.compress.sparsify.step import sparsify

__all__ = ["sparsify"]
