"""TfIdfVectorizer on tokens that are numbers already."""

from __future__ import annotations

import itertools

import numpy as np
from tvm import relax
from tvm.relax import op

from edgecompile.frontend.onnx.context import Context, Inputs, Result, make_constant
from edgecompile.frontend.onnx.emit import cast, reshape, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


@operator("TfIdfVectorizer")
def tf_idf_vectorizer(context: Context, node: Node, inputs: Inputs) -> Result:
    """tokens [C] or [N, C] -> [F] or [N, F] float32: how often each n-gram of the pool occurs, weighted."""
    pool, starts, indexes = (node.integers(name) for name in ("pool_int64s", "ngram_counts", "ngram_indexes"))
    if pool is None or starts is None or indexes is None:
        raise node.unsupported("a pool of integers (pool_int64s) was needed; map text to integers in the app")
    weights, mode = node.floats("weights"), node.string("mode")
    if mode not in ("TF", "IDF", "TFIDF") or (weights is not None and len(weights) != len(indexes)):
        raise node.invalid("mode TF, IDF or TFIDF and as many weights as ngram_indexes were needed")
    shape = context.require_static(node, inputs[0])
    tokens = reshape(context, cast(context, inputs[0], "int64"), (1, *shape) if len(shape) == 1 else shape)
    grams = _read_grams(node, pool, starts)
    if sum(len(rows) for rows in grams) != len(indexes) or min(indexes, default=0) < 0:
        raise node.invalid(f"as many ngram_indexes as n-grams in the pool were needed, found {len(indexes)}")
    counts = context.emit(op.concat([_count(context, node, tokens, rows) for rows in grams if len(rows)], axis=1))
    place = np.zeros((len(indexes), max(indexes) + 1), np.float32)  # from the pool's order to that of the output
    factors = [1.0] * len(indexes) if weights is None or mode == "TF" else weights
    place[np.arange(len(indexes)), indexes] = factors
    if mode == "IDF":
        counts = context.emit(op.minimum(counts, scalar(1, "float32")))
    result = context.emit(op.matmul(counts, make_constant(place)))
    return reshape(context, result, (place.shape[1],)) if len(shape) == 1 else result


def _read_grams(node: Node, pool: list[int], starts: list[int]) -> list[np.ndarray]:
    """For each length n from 1 on, the pool's n-grams [count, n]."""
    bounds = [*starts, len(pool)]
    if bounds != sorted(bounds) or bounds[0] != 0:
        raise node.invalid(f"ngram_counts must be rising positions in the pool, found {starts}")
    parts = [pool[begin:end] for begin, end in itertools.pairwise(bounds)]
    if any(len(part) % length for length, part in enumerate(parts, 1)):
        raise node.invalid("the pool must hold whole n-grams")
    return [np.array(part, np.int64).reshape(-1, length) for length, part in enumerate(parts, 1)]


def _count(context: Context, node: Node, tokens: relax.Expr, grams: np.ndarray) -> relax.Expr:
    """How often each of `grams` [G, n] occurs in each row of `tokens` [N, C], with up to max_skip_count between."""
    (rows, length), (count, size) = context.require_static(node, tokens), grams.shape
    total: relax.Expr = make_constant(np.zeros((rows, count), np.float32))
    if not node.integer("min_gram_length") <= size <= node.integer("max_gram_length"):
        return total
    for stride in range(1, 2 if size == 1 else node.integer("max_skip_count") + 2):
        positions = length - (size - 1) * stride
        if positions <= 0:
            break
        matches: relax.Expr | None = None
        for place in range(size):
            token = op.strided_slice(tokens, [1], [place * stride], [place * stride + positions])
            column = reshape(context, context.emit(token), (rows, positions, 1))
            equal = context.emit(op.equal(column, make_constant(np.ascontiguousarray(grams[:, place]))))
            matches = equal if matches is None else context.emit(op.logical_and(matches, equal))
        assert matches is not None
        total = context.emit(op.add(total, op.sum(cast(context, matches, "float32"), 1)))
    return total
