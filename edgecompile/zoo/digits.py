"""Scikit-learn's handwritten digits as 32x32 images: real data that comes with a package, with a fixed split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

_SEED = 0
_TEST_COUNT = 360


@dataclass(frozen=True)
class Digits:
    """Images [N, 1, 32, 32] float32, of mean 0 and deviation 1 over the training set; labels [N] int64."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@cache
def load_digits() -> Digits:
    """The data set: 1,437 images to train on, 360 to test on.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed (it is in the extra `zoo`).
    """
    from sklearn import datasets

    raw = datasets.load_digits()
    images = _upsample(raw.images.astype(np.float32) / 16)[:, None]
    order = np.random.default_rng(_SEED).permutation(len(images))
    test, train = order[:_TEST_COUNT], order[_TEST_COUNT:]
    mean, deviation = images[train].mean(), images[train].std()
    images = ((images - mean) / deviation).astype(np.float32)
    labels = raw.target.astype(np.int64)
    return Digits(images[train], labels[train], images[test], labels[test])


def calibration(count: int = 64) -> Iterator[tuple[np.ndarray, ...]]:
    """Training images one by one, as a model's inputs: [1, 1, 32, 32]."""
    for image in load_digits().train_images[:count]:
        yield (image[None],)


def accuracy(predict: Callable[[np.ndarray], np.ndarray]) -> float:
    """The share of the test images, [1, 1, 32, 32] each, for which `predict` gives the highest logit to the label."""
    data = load_digits()
    hits = [
        int(np.argmax(predict(image[None]))) == label
        for image, label in zip(data.test_images, data.test_labels, strict=True)
    ]
    return float(np.mean(hits))


def _upsample(images: np.ndarray) -> np.ndarray:
    """[N, 8, 8] to [N, 32, 32], linear between the pixel centres."""
    position = np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7)
    low = np.minimum(position.astype(int), 6)
    weight = (position - low).astype(np.float32)
    rows = images[:, low] * (1 - weight)[None, :, None] + images[:, low + 1] * weight[None, :, None]
    return rows[:, :, low] * (1 - weight) + rows[:, :, low + 1] * weight
