"""How much a network would miss the channels of a group."""

from edgecompile.compress.prune.importance.criterion import Criterion
from edgecompile.compress.prune.importance.evidence import Evidence
from edgecompile.compress.prune.importance.registry import CRITERIA
from edgecompile.compress.prune.importance.scores import scores

__all__ = ["CRITERIA", "Criterion", "Evidence", "scores"]
