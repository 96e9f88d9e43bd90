"""GridSample, RoiAlign, MaxRoiPool and DeformConv."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model, make_model

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("mode", "padding", "align"),
    [
        ("bilinear", "zeros", 0),
        ("bilinear", "reflection", 1),
        ("nearest", "border", 0),
        ("nearest", "reflection", 0),
        ("bicubic", "zeros", 1),
        ("bicubic", "border", 0),
        ("bicubic", "reflection", 0),
    ],
)
def test_grid_sample(mode: str, padding: str, align: int) -> None:
    # positions up to three image sizes outside; odd and even sizes
    inputs = {"x": normal(2, 3, 5, 4), "grid": RNG.uniform(-3, 3, (2, 3, 7, 2)).astype(np.float32)}
    proto = make_model("GridSample", inputs, opset=16, mode=mode, padding_mode=padding, align_corners=align)
    check_model(proto, inputs, rtol=1e-4, atol=1e-5)  # positions are rounded before they are multiplied by values


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_grid_sample_of_volumes(mode: str) -> None:
    inputs = {"x": normal(1, 2, 3, 4, 5), "grid": RNG.uniform(-1.2, 1.2, (1, 2, 3, 2, 3)).astype(np.float32)}
    check_model(make_model("GridSample", inputs, opset=20, mode=mode), inputs, rtol=1e-4, atol=1e-5)


def test_a_grid_of_another_batch_is_refused() -> None:
    inputs = {"x": normal(2, 3, 5, 4), "grid": normal(1, 3, 7, 2)}
    with pytest.raises(InvalidModelError, match=r"a grid of shape \[2, .., 2\] was needed, found \[1, 3, 7, 2\]"):
        load_onnx(make_model("GridSample", inputs, opset=20))


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize(("transform", "ratio"), [("half_pixel", 2), ("output_half_pixel", 0), ("half_pixel", 0)])
def test_roi_align(mode: str, transform: str, ratio: int) -> None:
    inputs = {
        "x": normal(2, 3, 9, 11),
        "rois": np.array([[0, 0, 8, 6], [-3, 2, 5.5, 14], [2.2, 1.1, 2.6, 1.3]], np.float32),
        "batch": np.array([1, 0, 1], np.int64),
    }
    proto = make_model(
        "RoiAlign", inputs, opset=16, mode=mode, coordinate_transformation_mode=transform, sampling_ratio=ratio,
        output_height=3, output_width=2, spatial_scale=0.7,
    )  # fmt: skip
    check_model(proto, inputs, rtol=1e-4, atol=1e-5)


def test_max_roi_pool() -> None:
    inputs = {"x": normal(2, 3, 9, 11), "rois": np.array([[0, 0, 0, 8, 6], [1, 2, 1, 9, 8]], np.float32)}
    check_model(make_model("MaxRoiPool", inputs, pooled_shape=[3, 2], spatial_scale=0.5), inputs)


@pytest.mark.parametrize(("group", "offset_group", "left_out"), [(1, 1, ()), (2, 2, ()), (1, 2, ("b", "mask"))])
def test_deform_conv(group: int, offset_group: int, left_out: tuple[str, ...]) -> None:
    inputs: dict[str, np.ndarray | None] = {
        "x": normal(2, 4, 6, 5),
        "w": normal(6, 4 // group, 3, 2),
        "offset": normal(2, offset_group * 12, 3, 5),
        "b": normal(6),
        "mask": normal(2, offset_group * 6, 3, 5),
    }
    inputs.update(dict.fromkeys(left_out))
    proto = make_model(
        "DeformConv", inputs, group=group, offset_group=offset_group, pads=[1, 0, 0, 1], strides=[2, 1],
        kernel_shape=[3, 2],
    )  # fmt: skip
    check_model(proto, inputs, rtol=1e-4, atol=1e-4)  # sums of products of up to 24 terms of size 1


def test_boxes_that_depend_on_the_data_are_refused() -> None:
    inputs = {"boxes": normal(1, 6, 4), "scores": normal(1, 1, 6), "most": np.array([3])}
    proto = make_model("NonMaxSuppression", inputs, outputs=["int64"])
    with pytest.raises(UnsupportedModelError, match="the number of boxes that remain is only known at run time"):
        load_onnx(proto, freeze={"most": inputs["most"]})
    inputs["most"] = np.array([0])
    check_model(proto, inputs, freeze=("most",))
