"""`approach`: the choice whose measured time is nearest to what was asked for, with few measurements."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

PROMISED = 0.1
"""Of the ratio that was asked for: how far from it the one that is found may be."""

_NEAR = 0.04  # of it: near enough to stop, with room for what the next measurement says
_CENTRE = 0.1  # of an interval: how far from its ends a guess stays
_MOST_LOOKS = 40  # at shares, of which most give choices that were measured already
_NARROW = 1e-3  # an interval of shares in which nothing else is to be found

Choice = TypeVar("Choice", bound=Hashable)


class Probe(NamedTuple, Generic[Choice]):
    """One measurement.

    Attributes:
        share: of the unpruned model's work that was allowed.
        choice: what that gives.
        ratio: measured, of the unpruned model's time.
    """

    share: float
    choice: Choice
    ratio: float


class Approach(NamedTuple, Generic[Choice]):
    """What was found.

    Attributes:
        best: the measurement within `PROMISED` of what was asked for that is nearest to it; else the nearest from
            below, else None.
        probes: all measurements, in order.
    """

    best: Probe[Choice] | None
    probes: tuple[Probe[Choice], ...]


def approach(
    wanted: float,
    least_share: float,
    choice_of: Callable[[float], Choice],
    measure: Callable[[Choice], float],
    most_probes: int,
) -> Approach[Choice]:
    """Search the share of the work by whose choice a model takes the wanted part of its time.

    Time grows with work, but by steps: a kernel computes whole vectors. So the next share is interpolated between the
    nearest known ones on both sides, and never taken from the ends of that interval.

    Args:
        wanted: ratio of times, above 0 and below 1.
        least_share: of the work that has to stay.
        choice_of: for a share; the same for shares that are close.
        measure: the ratio of times of a choice; slow.
        most_probes: that `measure` is called.
    """
    probes: dict[Choice, Probe[Choice]] = {}
    above: tuple[float, float] = (1.0, 1.0)
    below: tuple[float, float] | None = None
    share = max(wanted, least_share)
    for _ in range(_MOST_LOOKS):
        choice = choice_of(share)
        is_known = choice in probes
        if not is_known:
            if len(probes) == most_probes:
                break
            if len(probes) == most_probes - 1 and below is None:  # whether it can be met at all
                share, choice = least_share, choice_of(least_share)
            probes[choice] = Probe(share, choice, measure(choice))
        ratio = probes[choice].ratio
        if abs(ratio - wanted) <= _NEAR * wanted:
            break
        if ratio > wanted:
            above = (share, ratio)
            if share <= least_share:
                break
        else:
            below = (share, ratio)
        if above[0] - (below[0] if below else least_share) < _NARROW:
            break
        share = (
            (above[0] + (below[0] if below else least_share)) / 2
            if is_known
            else _guess(wanted, above, below, least_share)
        )
    return Approach(_best(wanted, list(probes.values())), tuple(probes.values()))


def _guess(wanted: float, above: tuple[float, float], below: tuple[float, float] | None, least_share: float) -> float:
    """The next share: on the line through two measurements, or through one and the unpruned model."""
    if below is not None:
        slope = (above[1] - below[1]) / max(above[0] - below[0], _NARROW)
        width = above[0] - below[0]
        share = below[0] + (wanted - below[1]) / max(slope, _NARROW)
        return min(max(share, below[0] + _CENTRE * width), above[0] - _CENTRE * width)
    slope = (1 - above[1]) / max(1 - above[0], _NARROW)
    share = above[0] - (above[1] - wanted) / max(slope, _NARROW)
    return min(max(share, least_share), above[0] - _CENTRE * (above[0] - least_share))


def _best(wanted: float, probes: list[Probe[Choice]]) -> Probe[Choice] | None:
    near = [probe for probe in probes if abs(probe.ratio - wanted) <= PROMISED * wanted]
    if near:
        return min(near, key=lambda probe: abs(probe.ratio - wanted))
    return max((probe for probe in probes if probe.ratio <= wanted), key=lambda probe: probe.ratio, default=None)
