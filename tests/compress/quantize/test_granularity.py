"""The table of scale shapes."""

from __future__ import annotations

import pytest

from edgecompile.compress.quantize.granularity import scale_shape


@pytest.mark.parametrize(
    ("operator", "weight", "channel", "group_of_4"),
    [
        ("nn.conv2d", (16, 8, 3, 3), (16,), (16, 2)),
        ("nn.conv1d", (16, 8, 3), (16,), (16, 2)),
        ("nn.conv2d_transpose", (8, 6, 2, 2), (6,), (2, 6)),
        ("matmul", (12, 5), (5,), (3, 5)),
        ("matmul", (12,), (), (3,)),
        ("matmul", (2, 7, 12, 5), (5,), (2, 7, 3, 5)),
    ],
)
def test_scale_shapes(
    operator: str, weight: tuple[int, ...], channel: tuple[int, ...], group_of_4: tuple[int, ...]
) -> None:
    assert scale_shape(operator, weight, "per_tensor") == ()
    assert scale_shape(operator, weight, "per_channel") == channel
    assert scale_shape(operator, weight, "per_group", 4) == group_of_4
