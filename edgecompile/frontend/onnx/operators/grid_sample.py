"""GridSample: reading an image at computed positions."""

from __future__ import annotations

from typing import Any

from tvm import te

from edgecompile.frontend.onnx import sampling
from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

# opset 16 has other names for the modes that opset 20 renamed
_MODES = {"linear": "linear", "bilinear": "linear", "cubic": "cubic", "bicubic": "cubic", "nearest": "nearest"}
_INTERPOLATIONS = {"linear": sampling.linear, "cubic": sampling.cubic, "nearest": sampling.nearest}


@operator("GridSample")
def grid_sample(context: Context, node: Node, inputs: Inputs) -> Result:
    """x [N, C, D1 .. Dr] at grid [N, O1 .. Or, r], positions in [-1, 1], last axis first -> [N, C, O1 .. Or]."""
    x, grid = inputs[0], inputs[1]
    x_shape, grid_shape = context.require_static(node, x), context.require_static(node, grid)
    rank = len(x_shape) - 2
    if len(grid_shape) != rank + 2 or grid_shape[-1] != rank or grid_shape[0] != x_shape[0]:
        raise node.invalid(f"a grid of shape [{x_shape[0]}, .., {rank}] was needed, found {list(grid_shape)}")
    mode, padding = node.string("mode", "linear"), node.string("padding_mode", "zeros")
    if mode not in _MODES or padding not in ("zeros", "border", "reflection"):
        raise node.invalid(f"a known mode and padding_mode were needed, found {mode!r} and {padding!r}")
    align = node.integer("align_corners", 0) == 1
    interpolate = _INTERPOLATIONS[_MODES[mode]]
    sizes, dtype = x_shape[2:], dtype_of(grid)

    def at(axis: int, tensor: te.Tensor, indices: tuple[Any, ...]) -> Any:
        """The coordinate of `axis` (counted from the first) in points."""
        size = sizes[axis]
        given = tensor(*indices, rank - 1 - axis) + sampling.constant(1, dtype)
        if align:
            found = given * sampling.constant((size - 1) / 2, dtype)
        else:
            found = given * sampling.constant(size / 2, dtype) - sampling.constant(0.5, dtype)
        if mode == "nearest":
            found = te.nearbyint(found)
        low, high = sampling.edges(size, align)
        if (
            _MODES[mode] == "cubic"
        ):  # only the points around are moved, not the position: PyTorch's and ONNX Runtime's way
            return found
        if padding == "border":
            return sampling.clamp(found, sampling.constant(0, dtype), sampling.constant(size - 1, dtype))
        return sampling.reflect(found, low, high, dtype) if padding == "reflection" else found

    def positions_of(axis: int, tensor: te.Tensor) -> te.Tensor:
        return te.compute(grid_shape[:-1], lambda *indices: at(axis, tensor, indices), name="position")

    def compute(image: te.Tensor, tensor: te.Tensor) -> te.Tensor:
        positions = [positions_of(axis, tensor) for axis in range(rank)]
        return te.compute(
            (*x_shape[:2], *grid_shape[1:-1]),
            lambda n, c, *s: interpolate(image, (n, c), [p(n, *s) for p in positions], padding, align),
            name="grid_sample",
        )

    return context.emit_te(compute, x, grid, name="grid_sample")
