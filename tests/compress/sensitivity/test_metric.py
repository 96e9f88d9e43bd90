"""A user's evaluation may do anything; what comes of it is a finite number or one clear line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.errors import InvalidCalibrationError, InvalidInputError


def double(inputs: Any) -> list[np.ndarray]:
    """A model of one input."""
    (x,) = inputs
    return [2 * x]


def test_numbers_of_any_kind() -> None:
    x = np.ones(3, np.float32)
    assert Metric(lambda predict: predict([x])[0].sum())(double) == 6
    assert Metric(lambda predict: int(predict(x)[0].sum()))(double) == 6, "an array alone is one input"


def failing(predict: Any) -> float:
    raise KeyError("labels.csv")


def reported(predict: Any) -> float:
    raise InvalidCalibrationError("the images are gone")


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (failing, "eval .*failing failed: KeyError: 'labels.csv'"),
        (lambda predict: 0.5, "never calls the function that it is given"),
        (lambda predict: predict([np.ones(1)])[0].sum() * np.nan, "must answer a finite number, found nan"),
        (lambda predict: predict([np.ones(1)])[0].sum() * np.inf, "must answer a finite number, found inf"),
        (lambda predict: predict([np.ones(1)]) and None, "must answer a number, found NoneType None"),
        (lambda predict: predict([np.ones(2)])[0], "must answer a number, found ndarray"),
    ],
)
def test_what_is_no_number(evaluate: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Metric(evaluate)(double)


def test_errors_of_ours_stay() -> None:
    with pytest.raises(InvalidCalibrationError, match="the images are gone"):
        Metric(reported)(double)
