"""Image resizing and sampling, kept as one Relax operator."""

from __future__ import annotations

from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context
from edgecompile.frontend.torch.registry import converter


def _resize(context: Context, args: Arguments, method: str, coordinates: str, rounding: str = "") -> relax.Expr:
    size = [int(dim) for dim in context.node.meta["val"].shape[2:]]
    return relax.op.image.resize2d(
        args.input,
        size,
        layout="NCHW",
        method=method,
        coordinate_transformation_mode=coordinates,
        rounding_method=rounding,
        cubic_alpha=-0.75,
    )


@converter("upsample_nearest2d.vec")
def nearest(context: Context, args: Arguments) -> relax.Expr:
    """Nearest neighbour: source position `floor(i * old / new)`."""
    return _resize(context, args, "nearest_neighbor", "asymmetric", "floor")


@converter("upsample_bilinear2d.vec")
def bilinear(context: Context, args: Arguments) -> relax.Expr:
    """Linear in both dimensions."""
    return _resize(context, args, "linear", "align_corners" if args.align_corners else "half_pixel")


@converter("upsample_bicubic2d.vec")
def bicubic(context: Context, args: Arguments) -> relax.Expr:
    """Cubic convolution with a = -0.75 in both dimensions."""
    return _resize(context, args, "cubic", "align_corners" if args.align_corners else "half_pixel")


@converter("grid_sampler_2d.default")
def grid_sample(context: Context, args: Arguments) -> relax.Expr:
    """Samples input [N, C, H, W] at grid [N, H_out, W_out, 2], whose coordinates run from -1 to 1."""
    return relax.op.image.grid_sample(
        args.input,
        context.emit(relax.op.permute_dims(args.grid, [0, 3, 1, 2])),  # Relax keeps the coordinates in dimension 1
        method=("bilinear", "nearest", "bicubic")[args.interpolation_mode],
        layout="NCHW",
        padding_mode=("zeros", "border", "reflection")[args.padding_mode],
        align_corners=args.align_corners,
    )
