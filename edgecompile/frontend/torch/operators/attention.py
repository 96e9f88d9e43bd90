"""Scaled dot-product attention as matrix products and a softmax, which later passes can fuse or quantize."""

from __future__ import annotations

import math

import numpy as np
from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, dtype_of, shape_of
from edgecompile.frontend.torch.registry import converter


@converter("scaled_dot_product_attention.default")
def scaled_dot_product_attention(context: Context, args: Arguments) -> relax.Expr:
    """`softmax(query @ key.T * scale + mask) @ value`.

    query [..., L, E], key [..., S, E], value [..., S, Ev]; mask [..., L, S], boolean (true takes part) or added.
    """
    query, key, value = args.query, args.key, args.value
    if args.dropout_p:
        raise context.refuse(f"dropout of {args.dropout_p}", "export the model in eval mode")
    if args.enable_gqa:
        key, value = _repeat_heads(context, key, query), _repeat_heads(context, value, query)
    dtype, rank = context.dtype, len(shape_of(key))
    scale = args.scale if args.scale is not None else 1 / math.sqrt(shape_of(query)[-1])
    transposed = context.emit(relax.op.permute_dims(key, [*range(rank - 2), rank - 1, rank - 2]))
    # The scale goes to the query, the smaller operand wherever the sequence is longer than a head is wide.
    scaled = context.emit(relax.op.multiply(query, context.tensor(float(scale), dtype)))
    scores = context.emit(relax.op.matmul(scaled, transposed, out_dtype=context.accumulator))
    if args.is_causal:
        scores = _causal(context, scores)
    if args.attn_mask is not None:
        scores = _masked(context, scores, args.attn_mask)
    weights = context.emit(relax.op.nn.softmax(scores, -1))
    weights = context.tensor(weights, dtype)
    return context.narrow(relax.op.matmul(weights, value, out_dtype=context.accumulator))


def _masked(context: Context, scores: relax.Expr, mask: relax.Expr) -> relax.Expr:
    dtype = dtype_of(scores)
    if dtype_of(mask) != "bool":
        return context.emit(relax.op.add(scores, context.tensor(mask, dtype)))
    return context.emit(relax.op.where(mask, scores, context.tensor(-math.inf, dtype)))


def _causal(context: Context, scores: relax.Expr) -> relax.Expr:
    rows, columns = shape_of(scores)[-2:]
    if not (isinstance(rows, int) and isinstance(columns, int)):
        raise context.refuse("a causal mask over a dynamic length", "freeze the sequence length with shapes=")
    mask = relax.const(np.tri(rows, columns, dtype=bool), "bool")
    return context.emit(relax.op.where(mask, scores, context.tensor(-math.inf, dtype_of(scores))))


def _repeat_heads(context: Context, value: relax.Expr, query: relax.Expr) -> relax.Expr:
    repeats = shape_of(query)[-3] // shape_of(value)[-3]
    return value if repeats == 1 else context.emit(relax.op.repeat(value, repeats, axis=len(shape_of(value)) - 3))
