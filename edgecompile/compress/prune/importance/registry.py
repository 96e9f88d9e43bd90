"""Every criterion by its name in recipes."""

from __future__ import annotations

from edgecompile.compress.prune.importance.apoz import apoz
from edgecompile.compress.prune.importance.average_rank import average_rank
from edgecompile.compress.prune.importance.bn_scale import bn_scale
from edgecompile.compress.prune.importance.criterion import Criterion
from edgecompile.compress.prune.importance.geometric_median import geometric_median
from edgecompile.compress.prune.importance.gradient import gradient
from edgecompile.compress.prune.importance.l1 import l1
from edgecompile.compress.prune.importance.l2 import l2
from edgecompile.compress.prune.importance.random import random
from edgecompile.compress.prune.importance.taylor import taylor

CRITERIA: dict[str, Criterion] = {
    "l1": Criterion(l1, "weights", is_relative=True),
    "l2": Criterion(l2, "weights", is_relative=True),
    "geometric_median": Criterion(geometric_median, "weights", is_relative=True),
    "bn_scale": Criterion(bn_scale, "weights", is_relative=False),
    "average_rank": Criterion(average_rank, "data", is_relative=False),
    "apoz": Criterion(apoz, "data", is_relative=False),
    "taylor": Criterion(taylor, "gradients", is_relative=True),
    "gradient": Criterion(gradient, "gradients", is_relative=True),
    "random": Criterion(random, "weights", is_relative=False),
}
