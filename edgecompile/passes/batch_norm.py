"""What a batch norm with known statistics does, and to which weights it can be applied instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tvm import relax


@dataclass(frozen=True)
class BatchNorm:
    """A batch norm as `x * scale + shift` along one axis; both float64, shape [channels]."""

    scale: np.ndarray
    shift: np.ndarray
    axis: int


def read_batch_norm(call: relax.Call) -> BatchNorm | str:
    """The scale and shift of a `relax.nn.batch_norm` call, or the reason why they are not known."""
    import tvm

    if call.attrs.training:
        return "it is in training mode"
    if not all(isinstance(argument, tvm.ir.GenericConst) for argument in call.args[1:]):
        return "its statistics are computed at run time"
    gamma, beta, mean, variance = (argument.value.numpy().astype(np.float64) for argument in call.args[1:])
    scale = 1.0 / np.sqrt(variance + call.attrs.epsilon)
    if call.attrs.scale:
        scale = scale * gamma
    shift = (beta if call.attrs.center else 0.0) - mean * scale
    return BatchNorm(scale, shift, int(call.attrs.axis))


# The axis of the weight that runs over output channels, by operator and weight layout.
_OUTPUT_AXIS = {
    ("relax.nn.conv1d", "OIW"): 0,
    ("relax.nn.conv2d", "OIHW"): 0,
    ("relax.nn.conv3d", "OIDHW"): 0,
    ("relax.nn.conv2d_transpose", "IOHW"): 1,
}


def scaled_weight(call: relax.Call, norm: BatchNorm) -> np.ndarray | str:
    """The weight of a layer times the norm's scale along its output channels, or the reason why it cannot be."""
    import tvm

    operator = call.op.name if isinstance(call.op, tvm.ir.Op) else ""
    rank = len(call.ty.shape.values) if hasattr(call.ty, "shape") and call.ty.shape is not None else 0
    if operator == "relax.matmul":
        axis, channel_axis = -1, rank - 1
    else:
        layout = str(getattr(call.attrs, "kernel_layout", ""))
        if (operator, layout) not in _OUTPUT_AXIS:
            return f"{operator.removeprefix('relax.') or 'the value before it'} has no weight to scale"
        if operator.endswith("transpose") and int(call.attrs.groups) != 1:
            return "the transposed convolution is grouped"
        axis, channel_axis = _OUTPUT_AXIS[operator, layout], 1
    if not isinstance(call.args[1], tvm.ir.GenericConst):
        return "its weight is computed at run time"
    weight = call.args[1].value.numpy()
    if norm.axis % max(rank, 1) != channel_axis or weight.shape[axis] != norm.scale.size:
        return "it normalises another axis than the layer's output channels"
    shape = [1] * weight.ndim
    shape[axis] = -1
    return (weight.astype(np.float64) * norm.scale.reshape(shape)).astype(weight.dtype)
