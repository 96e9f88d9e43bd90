"""Ratios of signal to noise, and when classes are compared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scripts.bench.accuracy import Accuracy, Probes, calibration, compare_answers, probe_inputs, signal_to_noise_db
from scripts.bench.case import Case


def test_a_tenth_of_the_signal_is_20_db() -> None:
    reference = np.array([[3.0, -4.0, 0.0]])
    assert signal_to_noise_db(reference, 1.1 * reference) == pytest.approx(20)
    assert signal_to_noise_db(reference, np.array([[3.0, -4.0, 5.0]], np.float32)) == pytest.approx(0)


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], math.inf),
        ([0.0, 0.0], [0.0, 0.0], math.inf),
        ([0.0, 0.0], [0.0, 1e-9], -math.inf),
        ([1.0, 2.0], [1.0, math.nan], -math.inf),
        ([1.0, 2.0], [1.0, math.inf], -math.inf),
    ],
)
def test_no_noise_and_no_number(reference: list[float], answer: list[float], expected: float) -> None:
    assert signal_to_noise_db(np.array(reference), np.array(answer)) == expected


def test_another_shape_or_number_of_outputs_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"the reference has the shape \(2,\), the answer \(1, 2\)"):
        signal_to_noise_db(np.zeros(2), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="zip"):
        compare_answers([[np.zeros(2)]], [[np.zeros(2), np.zeros(2)]])


def test_the_worst_output_counts_over_all_inferences() -> None:
    references = [[np.array([10.0]), np.array([1.0])], [np.array([0.0]), np.array([1.0])]]
    answers = [[np.array([10.0]), np.array([1.0])], [np.array([1.0]), np.array([1.01])]]
    assert compare_answers(references, answers) == Accuracy(pytest.approx(20), None)


def test_classes_are_compared_where_the_references_have_several() -> None:
    references = [[np.eye(5)[None, index]] for index in (0, 1, 2, 3)]
    answers = [*references[:3], [np.eye(5)[None, 4]]]
    assert compare_answers(references, answers).top1 == 0.75
    assert compare_answers(references[:1] * 4, answers).top1 is None
    maps = [[np.eye(5)[None, None, index]] for index in (0, 1, 2, 3)]  # a value for each of several places
    assert compare_answers(maps, maps).top1 is None


def test_the_varying_share_leaves_out_what_all_answers_have_in_common() -> None:
    alike, unlike = np.array([3.0, 4.0]), np.array([1.0, -1.0])
    references = ([alike + unlike, 2 * unlike], [alike - unlike, -2 * unlike])
    assert Probes((), references).varying_share == pytest.approx(2 / 27)


def test_no_probe_is_calibrated_with(case: Case) -> None:
    probes, samples = ({arrays[0].tobytes() for arrays in drawn(case)} for drawn in (probe_inputs, calibration))
    assert len(probes) == 16 and len(samples) == 100 and not probes & samples
