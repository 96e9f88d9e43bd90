"""Which weights share a scale.

A layer computes each output channel as a sum over its input channels (and, in a convolution, over the window). A row
of a table of embeddings is taken as a whole, so that the rows are its channels:

| weight                                              | per_tensor | per_channel | per_group, size g    |
|-----------------------------------------------------|------------|-------------|----------------------|
| convolution [C_out, C_in / groups, KH, KW]          | []         | [C_out]     | [C_out, C_in/groups/g] |
| transposed convolution [C_in, C_out / groups, KH, KW] | []         | [C_out / groups] | [C_in/g, C_out / groups] |
| matmul [K, N]                                       | []         | [N]         | [K/g, N]             |
| matmul [K] (a vector)                               | []         | []          | [K/g]                |
| embedding table [rows, N]                           | []         | [rows]      | [rows, N/g]          |
| batched matmul [..., K, N]                          | []         | [N]         | [..., K/g, N]        |

A window's weights of one pair of channels are in one group.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgecompile.compress.quantize.scheme import Granularity


def channel_axis(operator: str, rank: int) -> int | None:
    """The axis of the output channels in a weight of `rank` dimensions; None where there is but one channel."""
    if operator == "matmul":
        return rank - 1 if rank > 1 else None
    return 1 if operator.endswith("_transpose") else 0


def sum_axis(operator: str, rank: int) -> int:
    """The axis of the input channels in a weight of `rank` dimensions, along which groups are made."""
    if operator == "matmul":
        return max(rank - 2, 0)
    return 0 if operator.endswith("_transpose") else 1


def scale_shape(
    operator: str, weight_shape: Sequence[int], granularity: Granularity, group_size: int | None = None
) -> tuple[int, ...]:
    """The shape of a weight's scales; see the table above.

    Args:
        operator: "matmul", "take" of an embedding table, or of the family "nn.conv2d", "nn.conv2d_transpose".
        weight_shape: as the operator takes it.
        granularity: what shares one scale.
        group_size: divides the input channels; with "per_group" only.
    """
    rank = len(weight_shape)
    axis = channel_axis(operator, rank)
    if granularity == "per_tensor":
        return ()
    if granularity == "per_channel":
        return () if axis is None else (weight_shape[axis],)
    assert group_size is not None, "the scheme was checked"
    summed = sum_axis(operator, rank)
    assert weight_shape[summed] % group_size == 0, "the layer was checked"
    kept = range(rank) if operator == "matmul" else range(2)
    return tuple(weight_shape[index] // group_size if index == summed else weight_shape[index] for index in kept)
