"""Calibration data from image files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgecompile.compress.samples.data import read_samples
from edgecompile.errors import InvalidCalibrationError
from edgecompile.frontend.model import TensorSpec

Image = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install 'edgecompile[images]'")

RGB = TensorSpec("image", (1, 3, 6, 4), "float32")
GREY = TensorSpec("image", (1, 1, 6, 4), "float32")


def read(folder: Path, spec: TensorSpec) -> list[np.ndarray]:
    return [sample["image"] for sample in read_samples(folder, [spec])]


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_colours_keep_their_place(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    (found,) = read(tmp_path, RGB)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, (pixels.astype(np.float32) / np.float32(255)).transpose(2, 0, 1)[None])


def test_files_in_order_converted_and_resized(tmp_path: Path) -> None:
    Image.new("RGB", (40, 60), (255, 0, 51)).save(tmp_path / "b.PNG")
    Image.new("L", (9, 9), 102).save(tmp_path / "a.bmp")
    Image.new("RGBA", (4, 6), (0, 255, 0, 7)).save(tmp_path / "c.png")
    Image.new("P", (5, 5)).save(tmp_path / "d.png")
    first, second, third, fourth = read(tmp_path, RGB)
    assert [array.shape for array in (first, second, third, fourth)] == [(1, 3, 6, 4)] * 4
    np.testing.assert_allclose(first, 0.4, rtol=1e-6)
    np.testing.assert_allclose(second, np.broadcast_to([[[[1]], [[0]], [[0.2]]]], second.shape), rtol=1e-6)
    np.testing.assert_allclose(third[0, 1], 1)
    assert [array.shape for array in read(tmp_path, GREY)] == [(1, 1, 6, 4)] * 4


def test_jpeg(tmp_path: Path) -> None:
    Image.new("RGB", (8, 12), (200, 100, 50)).save(tmp_path / "a.jpg")
    (found,) = read(tmp_path, RGB)
    np.testing.assert_allclose(found[0].mean((1, 2)) * 255, [200, 100, 50], atol=3)  # the format loses a little


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n cut", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InvalidCalibrationError, match=r"a\.png cannot be read as an image: "):
        read(tmp_path, RGB)


def test_cut_file(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:5000])
    with pytest.raises(InvalidCalibrationError, match=r"a\.png cannot be read as an image: "):
        read(tmp_path, RGB)


def test_other_formats_are_not_decoded(tmp_path: Path) -> None:
    Image.new("RGB", (4, 6)).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    with pytest.raises(InvalidCalibrationError, match=r"a\.png cannot be read as an image: "):
        read(tmp_path, RGB)


@pytest.mark.parametrize(
    "specs",
    [
        [TensorSpec("x", (1, 10), "float32")],
        [TensorSpec("x", (1, 2, 6, 4), "float32")],
        [TensorSpec("x", (1, 3, "height", "width"), "float32")],
        [TensorSpec("x", (1, 3, 6, 4), "uint8")],
        [RGB, TensorSpec("other", (1,), "float32")],
    ],
)
def test_models_that_take_no_image(tmp_path: Path, specs: list[TensorSpec]) -> None:
    Image.new("RGB", (4, 6)).save(tmp_path / "a.png")
    with pytest.raises(InvalidCalibrationError, match=r"one input float32\[1, 1 or 3, H, W\]"):
        list(read_samples(tmp_path, specs))


def test_without_pillow(tmp_path: Path) -> None:
    Image.new("RGB", (4, 6)).save(tmp_path / "a.png")
    script = """
import sys
sys.modules["PIL"] = None
from edgecompile.compress.samples.data import read_samples
from edgecompile.frontend.model import TensorSpec
try:
    list(read_samples(sys.argv[1], [TensorSpec("image", (1, 3, 6, 4), "float32")]))
except Exception as error:
    print(type(error).__name__, error)
"""
    found = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("InvalidCalibrationError")
    assert "needs Pillow, which is not installed: pip install 'edgecompile[images]'" in found.stdout
