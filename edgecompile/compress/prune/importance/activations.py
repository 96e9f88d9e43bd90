"""What the channels of groups are on samples, behind the layers that make them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from tvm import relax

from edgecompile.compress.activations.runs import Runs
from edgecompile.compress.graph.uses import Uses
from edgecompile.compress.prune.channels.group import Group, Groups
from edgecompile.compress.prune.channels.tensor import Elements
from edgecompile.compress.prune.importance.criterion import Scores
from edgecompile.compress.samples.replay import Replay
from edgecompile.frontend.model import Model

MapStatistic: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""float32 maps [n, channels, rows, columns] of one sample -> [n, channels]."""

_PASSED = ("nn.batch_norm", "add", "subtract", "multiply", "divide", "nn.dropout")
_ENDS = (
    *("clip", "sigmoid", "tanh", "nn.gelu", "nn.gelu_tanh", "nn.leakyrelu", "nn.prelu", "nn.relu", "nn.relu6"),
    *("nn.selu", "nn.silu", "nn.softplus"),
)


class Observed(NamedTuple):
    """Where channels can be seen.

    Attributes:
        variable: its name.
        axis: of the variable.
        indices: [channels, n], the n indices of the axis at which each channel is.
    """

    variable: str
    axis: int
    indices: Elements

    def maps(self, array: np.ndarray) -> np.ndarray:
        """[n, channels, rows, columns]: what each channel is.

            [N, C, H, W] -> [N, channels, H, W]        one index for each channel, an image of two or more dimensions
            [N, T, C]    -> [N, channels, n, T]        otherwise; T is 1 where there are no other axes

        Args:
            array: of the variable; its first axis counts samples, unless the channels are along it.
        """
        first = np.moveaxis(array, self.axis, 0)[self.indices]  # [channels, n, ...]
        first = first[:, :, None] if self.axis == 0 else first
        whole = np.moveaxis(first, 2, 0)  # [N, channels, n, ...]
        if whole.shape[2] == 1 and whole.ndim > 4:
            return whole.reshape(*whole.shape[:2], -1, whole.shape[-1])
        return whole.reshape(*whole.shape[:3], -1)


def observed_at(groups: Groups) -> dict[str, list[Observed]]:
    """By group, the variables at which its channels are seen: behind what makes them, and the next activation function.

    On the way may be a batch norm, a bias, or an addition; not what several operators read.
    """
    uses = Uses(groups.program.main)
    named = {variable.name: variable for variable in uses.variables}
    return {
        group.name: list({found.variable: found for found in _of_group(group, groups, uses, named)}.values())
        for group in groups
    }


def mean_over_samples(
    model: Model,
    groups: Groups,
    samples: Replay,
    statistic: MapStatistic,
    progress: Callable[[str], None],
) -> dict[str, Scores]:
    """By group, the mean over the samples and the variables of a statistic; in one pass, one sample at a time.

    Groups that are seen at no float32 variable are left out; values that are NaN or infinite make a mean that is NaN.

    Raises:
        As for `Replay` and `ObservedModel`.
    """
    places = observed_at(groups)
    only = {observed.variable for several in places.values() for observed in several}
    if not only:
        return {}
    sums: dict[str, Scores] = {}
    counts: dict[str, int] = defaultdict(int)
    with Runs(model, samples, progress, only) as runs:
        for number, tensors in enumerate(runs.one_pass(), 1):
            progress(f"importance of channels, sample {number}")
            for group, several in places.items():
                found = [
                    _finite(statistic, observed.maps(tensors[observed.variable])).mean(0, dtype=np.float64)
                    for observed in several
                    if observed.variable in tensors
                ]
                if found:
                    sums[group] = sums.get(group, 0.0) + np.mean(found, axis=0)
                    counts[group] += 1
    return {group: total / counts[group] for group, total in sums.items()}


def _finite(statistic: MapStatistic, maps: np.ndarray) -> np.ndarray:
    """The statistic; NaN where it would be of what is none."""
    return statistic(maps) if np.isfinite(maps).all() else np.full(maps.shape[:2], np.nan)


def _of_group(group: Group, groups: Groups, uses: Uses, named: dict[str, relax.Var]) -> Iterator[Observed]:
    sides = {member.side for member in group.members}
    makers = "output" if "output" in sides else "each"
    for member in group.members:
        if member.side == makers and member.layer in named:
            found = _behind(named[member.layer], group, groups, uses)
            if found is not None:
                yield found


def _behind(variable: relax.Var, group: Group, groups: Groups, uses: Uses) -> Observed | None:
    """The last place on the way from a layer where its channels are seen."""
    last = _seen(variable, group, groups)
    following = uses.only_reader(variable)
    while following is not None:
        operator = uses.operator(following)
        is_moved = uses.call(following) is None and isinstance(following.ty, relax.TensorType)
        if not is_moved and operator not in (*_PASSED, *_ENDS):
            break
        found = _seen(following, group, groups)
        last = found or last
        if operator in _ENDS or (found is None and operator not in ("nn.batch_norm", "nn.dropout")):
            break
        following = uses.only_reader(following)
    return last


def _seen(variable: relax.Var, group: Group, groups: Groups) -> Observed | None:
    if not isinstance(variable.ty, relax.TensorType):
        return None
    [tensor] = groups.program.variables[variable]
    for axis in range(tensor.rank):
        indices = _places_of(groups.components.labels[tensor.elements(axis)], group.components)
        if indices is not None:
            return Observed(variable.name, axis, indices)
    return None


def _places_of(found: Elements, labels: Elements) -> Elements | None:
    """[channels, n]: where each label is among those of an axis; None where it is not."""
    order = np.argsort(found, kind="stable")
    low = np.searchsorted(found[order], labels, side="left")
    high = np.searchsorted(found[order], labels, side="right")
    count = int(high[0] - low[0])
    return order[low[:, None] + np.arange(count)] if count else None
