"""Reading images as calibration data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.errors import InvalidCalibrationError
from edgecompile.frontend.model import TensorSpec

if TYPE_CHECKING:
    import numpy as np

_FORMATS = ("BMP", "JPEG", "PNG")  # no other decoder is given the file, whatever its name says


def read_image(file: Path, inputs: Sequence[TensorSpec]) -> np.ndarray:
    """The image as the model's only input, [1, C, H, W] float32 with values from 0 to 1.

    It becomes grey for C = 1 and RGB for C = 3, and is resized to W x H by bilinear interpolation, its proportions not
    kept. A model that was trained on other values, such as those with the mean taken off, needs arrays instead.

    Raises:
        InvalidCalibrationError: the model's input is no image, Pillow is missing, or the file is no image.
    """
    import numpy as np

    channels, height, width = _extents(file, inputs)
    try:
        from PIL import Image
    except ImportError as error:
        raise InvalidCalibrationError(
            f"reading {file} needs Pillow, which is not installed: pip install 'edgecompile[images]'"
        ) from error
    try:
        with Image.open(file, formats=_FORMATS) as image:
            converted = image.convert("L" if channels == 1 else "RGB")
            resized = converted.resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidCalibrationError(f"{file} cannot be read as an image: {error}") from error
    pixels = np.asarray(resized, np.float32) / np.float32(255)
    return np.ascontiguousarray(pixels.reshape(height, width, channels).transpose(2, 0, 1))[None]


def _extents(file: Path, inputs: Sequence[TensorSpec]) -> tuple[int, int, int]:
    """Channels, height and width of the only input."""
    if len(inputs) == 1 and inputs[0].dtype == "float32" and len(inputs[0].shape) == 4:
        batch, *extents = inputs[0].shape
        numbers = [extent for extent in extents if isinstance(extent, int)]
        if batch == 1 and len(numbers) == 3 and numbers[0] in (1, 3):
            return numbers[0], numbers[1], numbers[2]
    raise InvalidCalibrationError(
        f"{file} is an image, which suits models with one input float32[1, 1 or 3, H, W]; this one has "
        f"{', '.join(map(str, inputs))}: save arrays as .npy or .npz"
    )
