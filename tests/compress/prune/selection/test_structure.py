"""Which groups have the same structure."""

from __future__ import annotations

import edgecompile as ec
from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.selection.structure import structure_of
from tests.compress.prune.test_find import load


def test_layers_of_a_transformer_are_alike() -> None:
    """Each has a group of heads, and one of the numbers inside its feed-forward network."""
    groups = find_groups(ec.load("zoo:bert_tiny").module)
    heads, inner, heads_of_next, inner_of_next = (structure_of(group) for group in groups)
    assert heads == heads_of_next != inner == inner_of_next


def test_numbers_of_channels_make_no_difference_but_ties_do() -> None:
    stem, inner, sum_of_two = (structure_of(group) for group in find_groups(load("residual")[0].module))
    assert len({stem, inner, sum_of_two}) == 3
    gated = [structure_of(group) for group in find_groups(load("gated")[0].module)]
    assert inner in gated and sum_of_two not in gated
