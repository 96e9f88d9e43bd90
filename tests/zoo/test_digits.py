"""Training on the digits: accuracy, the cache, and what makes it train again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgecompile import settings, zoo
from edgecompile.zoo import training
from edgecompile.zoo.digits import accuracy, calibration, load_digits


def test_the_data_set_is_fixed_and_split_without_overlap() -> None:
    data = load_digits()
    assert data.train_images.shape == (1437, 1, 32, 32)
    assert data.test_images.shape == (360, 1, 32, 32)
    assert data.train_images.dtype == np.float32
    assert abs(float(data.train_images.mean())) < 1e-4
    assert abs(float(data.train_images.std()) - 1) < 1e-4
    train = {image.tobytes() for image in data.train_images}
    assert not any(image.tobytes() in train for image in data.test_images)
    assert [batch[0].shape for batch in calibration(3)] == [(1, 1, 32, 32)] * 3


@pytest.mark.parametrize("name", ["digits_mobilenet", "digits_resnet", "digits_vgg"])
def test_accuracy(name: str) -> None:
    """Trains once per machine: 5 s for the ResNet, 20 s for the VGG, 35 s for the MobileNet on one core."""
    module = zoo.trained(name)
    assert not module.training
    with torch.no_grad():
        measured = accuracy(lambda image: module(torch.from_numpy(image)).numpy())
    assert measured >= 0.97


def test_training_is_deterministic() -> None:
    results = []
    for _ in range(2):
        module, _ = zoo.build("digits_resnet")
        training.train(module, "digits_resnet", epochs=1)
        results.append(module.state_dict())
    for key, value in results[0].items():
        torch.testing.assert_close(value, results[1][key], rtol=0, atol=0)


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache and a training that only counts its calls."""
    calls: list[str] = []

    def train(module: torch.nn.Module, name: str) -> None:
        calls.append(name)

    monkeypatch.setenv("EDGECOMPILE_CACHE", str(tmp_path))
    monkeypatch.setattr(training, "train", train)
    return calls


def test_weights_come_from_the_cache(counted: list[str]) -> None:
    first = zoo.trained("digits_resnet").state_dict()
    second = zoo.trained("digits_resnet").state_dict()
    assert counted == ["digits_resnet"]
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=0, atol=0)


def test_a_damaged_cache_is_trained_again(counted: list[str]) -> None:
    zoo.trained("digits_resnet")
    (file,) = (settings.cache_directory() / "zoo").iterdir()
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)
    zoo.trained("digits_resnet")
    file.write_bytes(b"short")
    zoo.trained("digits_resnet")
    assert len(counted) == 3


def test_changed_code_is_trained_again(counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.trained("digits_resnet")
    monkeypatch.setattr(training, "_SOURCES", training._SOURCES[:-1])
    zoo.trained("digits_resnet")
    assert len(counted) == 2


def test_a_cache_that_cannot_be_written_is_done_without(
    counted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EDGECOMPILE_CACHE", str(tmp_path / "file"))
    assert not zoo.trained("digits_resnet").training
    assert counted == ["digits_resnet"]
