"""Random networks without some channels compute what zeros in their places would."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tvm import relax

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.rewrite import kept_without, remove
from tests.compress.prune.fuzz.networks import Network, make_network, networks
from tests.compress.prune.interpret import interpret
from tests.compress.prune.zeros import with_zeros
from tests.fuzz.choices import RandomChoices

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def check(network: Network, seed: int) -> Groups:
    """Remove random channels of random groups, and all but one of every group."""
    groups = find_groups(network.module)
    generator = np.random.default_rng(seed)
    some = {
        group.name: generator.permutation(group.channels)[: generator.integers(1, group.channels)]
        for group in groups
        if generator.integers(3)
    }
    rest = {group.name: generator.permutation(group.channels)[1:] for group in groups}
    x = generator.standard_normal(network.input_shape, np.float32)
    for removed in (some, rest):
        kept = kept_without(groups, removed)
        pruned = remove(network.module, groups, removed)
        relax.analysis.well_formed(pruned)  # raises where it is not
        _check_ends(network.module, pruned)
        expected = interpret(with_zeros(network.module, groups, kept), x)
        for found, wanted in zip(interpret(pruned, x), expected, strict=True):
            assert np.isfinite(wanted).all()
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max() + 1e-12)
        for group in groups:
            left = group.channels - len(removed.get(group.name, ()))
            for member in group.members:
                stays = kept.indices(member.axis.tensor, member.axis.axis)
                assert np.isin(member.indices, stays).sum() == left * member.indices.shape[1]
    return groups


def _check_ends(module: tvm.IRModule, pruned: tvm.IRModule) -> None:
    """Inputs and outputs keep their types."""
    tvm.ir.assert_structural_equal(pruned["main"].ty, module["main"].ty, map_free_vars=True)


@settings(max_examples=40, suppress_health_check=CHECKS)
@given(networks(most_blocks=6), st.integers(0, 2**16))
def test_outputs_are_those_with_zeros(network: Network, seed: int) -> None:
    check(network, seed)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_outputs_of_five_hundred_networks_are_those_with_zeros(part: int) -> None:
    """By a generator: hypothesis tries many variations of one network."""
    for seed in range(100 * part, 100 * part + 100):
        check(make_network(RandomChoices(np.random.default_rng(seed)), most_blocks=10), seed)
