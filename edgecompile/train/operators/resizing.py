"""Resizing of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tvm import relax

from edgecompile.resizing import COORDINATES, METHODS, Axis
from edgecompile.train.operator import operator, refused


@operator("image.resize2d")
def resize2d(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """A product with a sparse matrix along each axis."""
    attributes, (x, size) = call.attrs, arguments
    method, coordinates = str(attributes.method), str(attributes.coordinate_transformation_mode)
    if str(attributes.layout) != "NCHW" or method not in METHODS or coordinates not in COORDINATES:
        raise refused(call, f"by {method} with {coordinates} in {attributes.layout}")
    rows, columns = (
        _matrix(Axis(extent, out, method, coordinates, str(attributes.rounding_method)))
        for extent, out in zip(x.shape[2:], size, strict=True)
    )
    return rows @ x @ columns.T


def _matrix(axis: Axis) -> torch.Tensor:
    """[out_extent, extent] float32: how much each place of the result has of each of the input."""
    places, weights = axis.taps()
    matrix = torch.zeros(axis.out_extent, axis.extent)
    return matrix.scatter_add_(1, torch.from_numpy(places).long(), torch.from_numpy(weights))
