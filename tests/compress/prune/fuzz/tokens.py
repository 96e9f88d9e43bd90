"""Blocks of random transformers: each makes tokens [N, T, D] from tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from tvm import relax

from tests.compress.prune.fuzz.builder import Builder, extent, shape
from tests.relax_models import constant

Block: TypeAlias = Callable[[Builder, relax.Var], relax.Var]


def tokens_of(net: Builder, image: relax.Var) -> relax.Var:
    """The pixels of an image [N, C, H, W] as tokens."""
    count, height, width = shape(image)[1:]
    return net.permute(net.reshape(image, -1, count, height * width), 0, 2, 1)


def feed_forward(net: Builder, x: relax.Var) -> relax.Var:
    y = net.dense(net.emit(relax.op.nn.gelu(net.dense(x, net.channels()))), extent(x, 2))
    return _residual(net, x, y)


def attention(net: Builder, x: relax.Var) -> relax.Var:
    """Queries, keys and values by layers of their own."""
    heads, size = _heads(net)
    q, k, v = (_taken_apart(net, net.dense(x, heads * size), heads) for _ in range(3))
    return _attended(net, x, q, k, v)


def fused_attention(net: Builder, x: relax.Var) -> relax.Var:
    """All three by one layer, as vision transformers have it; or split along its outputs."""
    heads, size = _heads(net)
    y, tokens = net.dense(x, 3 * heads * size), extent(x, 1)
    if net.choices.flag():
        parts = net.emit(relax.op.split(y, 3, 2))
        q, k, v = (_taken_apart(net, net.emit(relax.TupleGetItem(parts, i)), heads) for i in range(3))
        return _attended(net, x, q, k, v)
    y = net.permute(net.reshape(y, -1, tokens, 3, heads, size), 2, 0, 3, 1, 4)
    if net.choices.flag():
        rows = [net.emit(relax.op.take(y, constant(np.array(i, np.int64)), 0)) for i in range(3)]
    else:
        parts = net.emit(relax.op.split(y, 3, 0))
        rows = [net.emit(relax.op.squeeze(net.emit(relax.TupleGetItem(parts, i)), [0])) for i in range(3)]
    q, k, v = rows
    return _attended(net, x, q, k, v)


def one_operator(net: Builder, x: relax.Var) -> relax.Var:
    """Attention as one operator, [N, T, heads, size]."""
    heads, size = _heads(net)
    q, k, v = (net.reshape(net.dense(x, heads * size), -1, extent(x, 1), heads, size) for _ in range(3))
    y = net.emit(relax.op.nn.attention(q, k, v, None, size**-0.5))
    return _residual(net, x, net.dense(net.reshape(y, -1, extent(x, 1), heads * size), extent(x, 2)))


def layer_norm(net: Builder, x: relax.Var) -> relax.Var:
    width = extent(x, 2)
    return net.emit(relax.op.nn.layer_norm(x, net.positive(width), net.weight(width), [-1]))


def with_embedding(net: Builder, x: relax.Var) -> relax.Var:
    """Places of tokens."""
    return net.biased(x, (1, extent(x, 1), extent(x, 2)))


def mixed(net: Builder, x: relax.Var) -> relax.Var:
    """A layer along tokens, as in MLP-Mixer."""
    y = net.dense(net.emit(relax.op.nn.gelu(net.dense(net.permute(x, 0, 2, 1), net.channels()))), extent(x, 1))
    return _residual(net, x, net.permute(y, 0, 2, 1))


def einsum_product(net: Builder, x: relax.Var) -> relax.Var:
    """A dense layer as an einsum."""
    outputs = net.channels()
    return net.emit(relax.op.einsum((x, net.weight(extent(x, 2), outputs, fan_in=extent(x, 2))), "ntd,do->nto"))


def _heads(net: Builder) -> tuple[int, int]:
    return net.choices.choose((2, 1, 3, 4)), net.choices.choose((3, 2, 4))


def _taken_apart(net: Builder, x: relax.Var, heads: int) -> relax.Var:
    """[N, T, heads * size] -> [N, heads, T, size]."""
    _, tokens, width = shape(x)
    return net.permute(net.reshape(x, -1, tokens, heads, width // heads), 0, 2, 1, 3)


def _attended(net: Builder, x: relax.Var, q: relax.Var, k: relax.Var, v: relax.Var) -> relax.Var:
    """q, k, v: [N, heads, T, size]."""
    _, heads, tokens, size = shape(q)
    scores = net.emit(relax.op.matmul(q, net.permute(k, 0, 1, 3, 2)))
    scores = net.emit(relax.op.multiply(scores, relax.const(size**-0.5, "float32")))
    y = net.emit(relax.op.matmul(net.emit(relax.op.nn.softmax(scores, -1)), v))
    y = net.permute(y, 0, 2, 1, 3)
    return _residual(net, x, net.dense(net.reshape(y, -1, tokens, heads * size), extent(x, 2)))


def _residual(net: Builder, x: relax.Var, y: relax.Var) -> relax.Var:
    return net.emit(relax.op.add(x, y))


BLOCKS: Sequence[Block] = (
    *(feed_forward, attention, fused_attention, one_operator, layer_norm, with_embedding, mixed, einsum_product),
)
