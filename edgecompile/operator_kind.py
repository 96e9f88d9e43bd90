"""What kind of work an operator is: the rows under which kernels' costs are added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecompile.roofline import Factors

if TYPE_CHECKING:
    from tvm import relax

OTHER = "other"
_INT8 = "int8 "
_DEPTHWISE = "depthwise"
_GROUPED = "grouped conv"
_MATMUL = "matmul"


def kind_of(call: relax.Call) -> str:
    """The kind of one call of an operator.

    Returns:
        "conv 3x3" with the kernel's extents, "transposed conv 4x4", "depthwise" and "grouped conv" of any extent,
        "matmul" for all products of matrices, each with "int8 " before it where integers are multiplied, "other" for
        the rest.
    """
    import tvm
    from tvm import tirx

    if not isinstance(call.op, tvm.ir.Op):
        return OTHER
    name = str(call.op.name)
    if name.startswith("edgecompile."):
        return _integer_kind(call)
    if name == "relax.matmul":
        return _MATMUL
    if not name.startswith("relax.nn.conv"):
        return OTHER
    weight = getattr(call.args[1].ty, "shape", None)
    extents = getattr(weight, "values", ())
    layout = str(call.attrs.kernel_layout)
    if len(extents) != len(layout) or not all(isinstance(extent, tirx.IntImm) for extent in extents):
        return OTHER
    shape = dict(zip(layout, map(int, extents), strict=True))
    if call.attrs.groups > 1:
        return _grouped_kind(shape["O"], shape["I"], call.attrs.groups)
    kernel = "x".join(str(extent) for axis, extent in shape.items() if axis not in "IO")
    return f"{'transposed conv' if name.endswith('_transpose') else 'conv'} {kernel}"


def _integer_kind(call: relax.Call) -> str:
    """Of one of our own operators."""
    from edgecompile.integer.operators import CONV2D, MATMUL, attributes

    if call.op.name == MATMUL:
        return _INT8 + _MATMUL
    if call.op.name != CONV2D:
        return OTHER
    outputs, inputs, *kernel = (int(extent) for extent in call.args[1].ty.shape.values)
    groups = attributes(call)["groups"]
    plain = f"conv {'x'.join(map(str, kernel))}"
    return _INT8 + (_grouped_kind(outputs, inputs, groups) if groups > 1 else plain)


def _grouped_kind(outputs: int, inputs: int, groups: int) -> str:
    """Of a convolution with `outputs` channels in all, each of `inputs`."""
    return _DEPTHWISE if inputs == outputs // groups == 1 else _GROUPED


def factors_of(kind: str) -> Factors:
    """What kernels of a kind multiply."""
    return "int8" if kind.startswith(_INT8) else "float32"


def kind_of_all(kinds: Sequence[str]) -> str:
    """The kind of a kernel that several operators were fused into: of its first one that is not "other"."""
    return next((kind for kind in kinds if kind != OTHER), OTHER)
