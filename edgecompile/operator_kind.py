"""What kind of work an operator is: the rows under which kernels' costs are added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm import relax

OTHER = "other"
_DEPTHWISE = "depthwise"
_GROUPED = "grouped conv"
_MATMUL = "matmul"


def kind_of(call: relax.Call) -> str:
    """The kind of one call of an operator.

    Returns:
        "conv 3x3" with the kernel's extents, "transposed conv 4x4", "depthwise" and "grouped conv" of any extent,
        "matmul" for all products of matrices, "other" for the rest.
    """
    import tvm
    from tvm import tirx

    if not isinstance(call.op, tvm.ir.Op):
        return OTHER
    name = str(call.op.name)
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
        return _DEPTHWISE if shape["I"] == shape["O"] // call.attrs.groups == 1 else _GROUPED
    kernel = "x".join(str(extent) for axis, extent in shape.items() if axis not in "IO")
    return f"{'transposed conv' if name.endswith('_transpose') else 'conv'} {kernel}"


def kind_of_all(kinds: Sequence[str]) -> str:
    """The kind of a kernel that several operators were fused into: of its first one that is not "other"."""
    return next((kind for kind in kinds if kind != OTHER), OTHER)
