"""`networks`: random networks of images and tokens, with one output or several."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tvm
from hypothesis import strategies as st
from tvm import relax, tirx

from tests.compress.prune.fuzz import images, tokens
from tests.compress.prune.fuzz.builder import Builder, extent, shape
from tests.fuzz.choices import Choices, DrawnChoices


class Network(NamedTuple):
    """A module of one input, float32 [N, C, H, W] of the given shape; N is known at run time only, at times."""

    module: tvm.IRModule
    input_shape: tuple[int, ...]


@st.composite
def networks(draw: st.DrawFn, most_blocks: int) -> Network:
    """Networks that hypothesis draws."""
    return make_network(DrawnChoices(draw), most_blocks)


def make_network(choices: Choices, most_blocks: int) -> Network:
    """A few blocks, a head or two, and another image as an output."""
    generator = np.random.default_rng(choices.integer(0, 2**16))
    input_shape = (2, choices.choose((3, 4, 1)), *choices.choose(((4, 4), (8, 8), (5, 5))))
    batch = tirx.Var("n", "int64") if choices.flag() else 2
    x = relax.Var("x", relax.TensorType([batch, *input_shape[1:]], "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            results = _body(Builder(builder, choices, generator), x, choices.integer(1, most_blocks))
            result = builder.emit_output(results[0] if len(results) == 1 else relax.Tuple(results))
        builder.emit_func_output(result)
    return Network(builder.get(), input_shape)


def _body(net: Builder, x: relax.Var, blocks: int) -> list[relax.Var]:
    choices: Choices = net.choices
    made = [net.conv(x, net.channels(), 3)]
    for _ in range(blocks):
        made.append(choices.choose(images.BLOCKS)(net, made))
    results = [made[choices.integer(0, len(made) - 1)]] if choices.choose((False, False, False, True)) else []
    y = made[-1] if choices.choose((True, True, False)) else net.conv(made[-1], net.channels())
    for _ in range(2 if choices.choose((False, False, True)) else 1):
        results.append(_head(net, y))
        y = made[0]
    return results


def _head(net: Builder, x: relax.Var) -> relax.Var:
    count, height, width = shape(x)[1:]
    kind = net.choices.choose(("mean", "flatten", "tokens", "image"))
    if kind == "mean":
        return net.dense(net.emit(relax.op.mean(x, [2, 3])), 5)
    if kind == "flatten":
        return net.dense(net.reshape(x, -1, count * height * width), 5)
    if kind == "image":
        return net.conv(x, 2)
    y = tokens.tokens_of(net, x)
    for _ in range(net.choices.integer(1, 4)):
        y = net.choices.choose(tokens.BLOCKS)(net, y)
    assert extent(y, 1) == height * width
    return net.dense(net.emit(relax.op.mean(y, [1])), 5)
