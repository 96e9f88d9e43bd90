"""Which channels go: by their scores, for a ratio or a budget."""

from edgecompile.compress.prune.selection.select import select
from edgecompile.compress.prune.selection.selection import Budget, Selection

__all__ = ["Budget", "Selection", "select"]
