"""Criteria that look at weights alone, against formulas on the arrays of the PyTorch module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edgecompile as ec
from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.importance import CRITERIA, Evidence, scores
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from tests.compress.prune.importance.networks import FIRST, HIDDEN, SHARED, evidence_of, make, plain


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


def parts() -> dict[str, list[np.ndarray]]:
    """[channels, n]: what each layer has of the channels of each group, its makers first."""
    net = make()
    stem, first, second = (array(layer.weight) for layer in (net.stem[0], net.first, net.second))
    hidden, classifier = array(net.hidden.weight), array(net.classifier.weight)
    return {
        SHARED: [
            stem.reshape(7, -1),
            second.reshape(7, -1),
            first.transpose(1, 0, 2, 3).reshape(7, -1),
            hidden.reshape(6, 7, 16).transpose(1, 0, 2).reshape(7, -1),
        ],
        FIRST: [first.reshape(5, -1), second.transpose(1, 0, 2, 3).reshape(5, -1)],
        HIDDEN: [hidden, classifier.T],
    }


MAKERS = {SHARED: 2, FIRST: 1, HIDDEN: 1}


def found(criterion: str, evidence: Evidence | None = None) -> dict[str, np.ndarray]:
    evidence = evidence or plain()
    return scores(evidence.groups, criterion, evidence)


@pytest.mark.parametrize(("criterion", "number"), [("l1", np.abs), ("l2", np.square)])
def test_norms_are_of_the_readers(criterion: str, number: np.ufunc) -> None:
    answer = found(criterion)
    assert set(answer) == set(MAKERS)
    for group, weights in parts().items():
        sums = number(np.concatenate(weights[MAKERS[group] :], 1)).sum(1)
        np.testing.assert_allclose(answer[group], sums / sums.mean(), rtol=1e-6)


def test_geometric_median_is_of_the_readers() -> None:
    answer = found("geometric_median")
    for group, weights in parts().items():
        read = np.concatenate(weights[MAKERS[group] :], 1)
        distances = np.linalg.norm(read[:, None] - read, axis=2).sum(1)
        np.testing.assert_allclose(answer[group], distances / distances.mean(), rtol=1e-6)


def test_geometric_median_of_equal_channels_is_zero() -> None:
    net = make()
    nn.init.constant_(net.classifier.weight, 0.3)
    assert not found("geometric_median", evidence_of(net))[HIDDEN].any()


def test_bn_scale_and_its_substitute() -> None:
    net = make()
    evidence = evidence_of(net)
    answer = found("bn_scale", evidence)
    scales = np.mean([np.abs(array(norm.weight)) for norm in (net.stem[1], net.norm)], axis=0)
    np.testing.assert_allclose(answer[SHARED], scales, rtol=1e-6)
    for group in (FIRST, HIDDEN):
        np.testing.assert_allclose(answer[group], found("l2")[group] * scales.mean(), rtol=1e-6)
    assert [(decision.subject, decision.kept) for decision in evidence.decisions] == [(FIRST, False), (HIDDEN, False)]
    assert "no batch norm" in evidence.decisions[0].reason


def test_bn_scale_needs_a_batch_norm() -> None:
    model = ec.load(nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)).eval(), example_inputs=(torch.zeros(1, 4),))
    groups = find_groups(model.module)
    with pytest.raises(InvalidRecipeError, match=r"bn_scale needs batch norms .* choose l2"):
        scores(groups, "bn_scale", Evidence(model, groups))


def test_random_is_seeded() -> None:
    base = plain()
    one, same, other = (found("random", Evidence(base.model, base.groups, seed=seed)) for seed in (0, 0, 1))
    for group, channels in ((SHARED, 7), (FIRST, 5), (HIDDEN, 6)):
        assert one[group].shape == (channels,)
        assert len(set(one[group])) == channels
        np.testing.assert_array_equal(one[group], same[group])
        assert (one[group] != other[group]).all()


def test_zero_channels_score_least() -> None:
    net = make()
    with torch.no_grad():
        for weight in (net.stem[0].weight[2], net.stem[1].weight[2:3], net.second.weight[2], net.norm.weight[2:3]):
            weight.zero_()
        net.first.weight[:, 2].zero_()
        net.hidden.weight[:, 32:48].zero_()
        net.first.weight[3].zero_()
        net.second.weight[:, 3].zero_()
    evidence = evidence_of(net)
    for criterion in ("l1", "l2", "bn_scale"):
        answer = found(criterion, evidence)
        for group, channel in ((SHARED, 2), (FIRST, 3)):
            assert answer[group][channel] == 0, criterion
            assert (np.delete(answer[group], channel) > 0).all(), criterion


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_a_channel_that_nothing_makes_is_dead(offset: float) -> None:
    net = make()
    with torch.no_grad():
        net.first.weight[3], net.first.bias[3] = 0, offset
    evidence = evidence_of(net)
    for criterion in ("l1", "l2", "geometric_median"):
        answer = found(criterion, evidence)[FIRST]
        assert (answer[3] == 0) == (offset == 0), criterion
        assert (np.delete(answer, 3) > 0).all(), criterion


def test_what_is_not_finite_counts_the_same() -> None:
    net = make()
    for layer in (net.first, net.second):
        nn.init.constant_(layer.weight, float("inf"))
    evidence = evidence_of(net)
    answer = found("l2", evidence)
    np.testing.assert_array_equal(answer[FIRST], np.ones(5))
    assert {decision.subject for decision in evidence.decisions} == {FIRST, SHARED}
    assert "NaN or infinite" in evidence.decisions[0].reason


def test_all_zero_weights() -> None:
    net = make()
    for layer in (net.hidden, net.classifier):
        nn.init.zeros_(layer.weight)
    evidence = evidence_of(net)
    np.testing.assert_array_equal(found("l2", evidence)[HIDDEN], np.zeros(6))
    [decision] = evidence.decisions
    assert decision.subject == HIDDEN
    assert "does not tell its channels apart" in decision.reason


@pytest.mark.parametrize("criterion", [name for name, found in CRITERIA.items() if found.needs != "weights"])
def test_data_are_asked_for(criterion: str) -> None:
    with pytest.raises(InvalidInputError, match=f"importance {criterion} needs calibration data"):
        found(criterion)
