"""Resizing and padding in blocks."""

from __future__ import annotations

from typing import Any

import pytest
from tvm import relax

from tests.passes.layouts.plans import callees, check_numbers, conv, plan


@pytest.mark.parametrize("method", ["nearest_neighbor", "linear", "cubic"])
@pytest.mark.parametrize("channels", [16, 20])
def test_resizing_stays_in_blocks(method: str, channels: int) -> None:
    def body(builder: Any, x: Any) -> Any:
        y = builder.emit(conv(x, channels))
        y = builder.emit(relax.op.image.resize2d(y, (17, 12), method=method))
        return conv(y, 8, channels)

    before, after, _ = plan(body)
    kernel = "image.resize2d" if method == "cubic" else "resize"
    assert callees(after) == {"to_blocks": 1, "conv2d": 2, kernel: 1, "from_blocks": 1}
    check_numbers(before, after)


SIZES = [(18, 27), (5, 4), (13, 9), (31, 2), (7, 7)]


@pytest.mark.parametrize(
    "coordinates", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "tf_half_pixel_for_nn"]
)
@pytest.mark.parametrize("method", ["linear", "floor", "ceil", "round", "round_prefer_floor", "round_prefer_ceil", ""])
def test_every_kind_of_place(method: str, coordinates: str) -> None:
    """One size after the other: a wrong place anywhere would show in the end."""
    names = ("linear", "") if method == "linear" else ("nearest_neighbor", method)

    def body(builder: Any, x: Any) -> Any:
        y = builder.emit(conv(x, 8, size=1))
        for size in SIZES:
            y = builder.emit(relax.op.image.resize2d(y, size, None, "NCHW", names[0], coordinates, names[1]))
        return y

    before, after, _ = plan(body)
    assert callees(after)["resize"] == len(SIZES)
    check_numbers(before, after)


def test_one_pixel_between_corners_has_no_place() -> None:
    def body(builder: Any, x: Any) -> Any:
        y = builder.emit(conv(x, 16))
        y = builder.emit(relax.op.image.resize2d(y, (1, 5), coordinate_transformation_mode="align_corners"))
        return conv(y, 8)

    _, after, _ = plan(body)
    assert callees(after)["image.resize2d"] == 1


def padded(widths: list[int], mode: str) -> Any:
    def body(builder: Any, x: Any) -> Any:
        y = builder.emit(relax.op.nn.pad(builder.emit(conv(x, 16)), widths, mode, 3.0))
        return conv(y, 8, int(y.ty.shape[1]))

    return body


def test_padding_stays_in_blocks() -> None:
    before, after, _ = plan(padded([0, 0, 0, 0, 1, 2, 0, 1], "constant"))
    assert callees(after) == {"to_blocks": 1, "conv2d": 2, "nn.pad": 1, "from_blocks": 1}
    check_numbers(before, after)


@pytest.mark.parametrize(
    ("widths", "mode"), [([0, 0, 0, 8, 0, 0, 0, 0], "constant"), ([0, 0, 0, 0, 1, 1, 1, 1], "reflect")]
)
def test_channels_and_mirrors_are_padded_plain(widths: list[int], mode: str) -> None:
    before, after, _ = plan(padded(widths, mode))
    assert callees(after) == {"to_blocks": 2, "conv2d": 2, "nn.pad": 1, "from_blocks": 2}
    check_numbers(before, after)
