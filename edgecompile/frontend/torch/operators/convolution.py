"""Convolutions and transposed convolutions, one to three spatial dimensions."""

from __future__ import annotations

from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, shape_of
from edgecompile.frontend.torch.registry import converter

_FORWARD = {
    1: (relax.op.nn.conv1d, "NCW", "OIW"),
    2: (relax.op.nn.conv2d, "NCHW", "OIHW"),
    3: (relax.op.nn.conv3d, "NCDHW", "OIDHW"),
}
_TRANSPOSED = {
    1: (relax.op.nn.conv1d_transpose, "NCW", "IOW"),
    2: (relax.op.nn.conv2d_transpose, "NCHW", "IOHW"),
    3: (relax.op.nn.conv3d_transpose, "NCDHW", "IODHW"),
}


@converter("convolution.default")
def convolution(context: Context, args: Arguments) -> relax.Expr:
    """`conv(input, weight) + bias`.

    input [N, C_in, spatial...]; weight [C_out, C_in / groups, spatial...], or [C_in, C_out / groups, spatial...] when
    transposed; bias [C_out] or None.
    """
    spatial = len(shape_of(args.weight)) - 2
    data, batched = args.input, len(shape_of(args.input)) == spatial + 2
    if not batched:
        data = context.emit(relax.op.expand_dims(data, 0))
    operator, data_layout, kernel_layout = (_TRANSPOSED if args.transposed else _FORWARD)[spatial]
    attributes = {
        "strides": _per_dimension(args.stride, spatial),
        "padding": _per_dimension(args.padding, spatial),
        "dilation": _per_dimension(args.dilation, spatial),
        "groups": args.groups,
        "data_layout": data_layout,
        "kernel_layout": kernel_layout,
        "out_dtype": context.accumulator,
    }
    if args.transposed:
        attributes["output_padding"] = _per_dimension(args.output_padding, spatial)
    result = context.narrow(operator(data, args.weight, **attributes))
    if args.bias is not None:
        bias = context.emit(relax.op.reshape(args.bias, [1, -1] + [1] * spatial))
        result = relax.op.add(context.emit(result), bias)
    return result if batched else relax.op.squeeze(context.emit(result), [0])


def _per_dimension(values: list[int], spatial: int) -> list[int]:
    return list(values) * spatial if len(values) == 1 else list(values)
