"""Blocks of random convolutional networks: each makes an image from the images so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from tvm import relax

from tests.compress.prune.fuzz.builder import Builder, extent, shape
from tests.relax_models import constant

Images: TypeAlias = Sequence[relax.Var]
Block: TypeAlias = Callable[[Builder, Images], relax.Var]


def convolution(net: Builder, images: Images) -> relax.Var:
    stride = net.choices.choose((1, 1, 2))
    y = net.conv(images[-1], net.channels(), net.choices.choose((1, 3)), stride=stride)
    y = net.batch_norm(y) if net.choices.flag() else y
    return net.activation(y) if net.choices.flag() else y


def grouped(net: Builder, images: Images) -> relax.Var:
    x = images[-1]
    groups = net.choices.choose(_divisors(extent(x, 1)))
    return net.conv(x, groups * net.choices.choose((1, 2, 3)), net.choices.choose((3, 1)), groups=groups)


def depthwise(net: Builder, images: Images) -> relax.Var:
    x = images[-1]
    return net.conv(x, extent(x, 1) * net.choices.choose((1, 1, 2)), 3, groups=extent(x, 1))


def transposed(net: Builder, images: Images) -> relax.Var:
    x = images[-1]
    groups = net.choices.choose((1, *_divisors(extent(x, 1))))
    weight = net.weight(extent(x, 1), net.choices.choose((2, 1, 3)), 2, 2, fan_in=extent(x, 1) // groups)
    if extent(x, 2) > 8:
        return net.emit(relax.op.nn.conv2d_transpose(x, weight, 1, 0, 0, 1, groups))
    return net.emit(relax.op.nn.conv2d_transpose(x, weight, 2, 0, 0, 1, groups))


def residual(net: Builder, images: Images) -> relax.Var:
    x = images[-1]
    y = net.activation(net.conv(x, net.channels(), 3))
    return net.activation(net.emit(relax.op.add(net.batch_norm(net.conv(y, extent(x, 1), 3)), x)))


def shortcut(net: Builder, images: Images) -> relax.Var:
    x, outputs = images[-1], net.channels()
    y = net.conv(net.activation(net.conv(x, net.channels())), outputs, 3, stride=2)
    return net.emit(relax.op.add(net.conv(x, outputs, stride=2), y))


def added(net: Builder, images: Images) -> relax.Var:
    """Two images of the same shape, or the same twice."""
    x = images[-1]
    other = net.choices.choose([image for image in reversed(images) if shape(image) == shape(x)])
    return net.emit(net.choices.choose((relax.op.add, relax.op.subtract, relax.op.maximum))(x, other))


def joined(net: Builder, images: Images) -> relax.Var:
    """Images of the same size side by side, the same one twice at times."""
    x = images[-1]
    others = [image for image in images if shape(image)[2:] == shape(x)[2:]]
    count = net.choices.integer(1, 2)
    return net.emit(relax.op.concat([net.choices.choose(others) for _ in range(count)] + [x], 1))


def parted(net: Builder, images: Images) -> relax.Var:
    """The last part of a split, joined with a convolution of the first, as in CSP networks."""
    x = images[-1]
    if extent(x, 1) < 2:
        return x
    place = net.choices.integer(1, extent(x, 1) - 1)
    parts = net.emit(relax.op.split(x, [place], 1))
    one, two = (net.emit(relax.TupleGetItem(parts, index)) for index in range(2))
    return net.emit(relax.op.concat([net.conv(one, net.channels(), 3), two], 1))


def added_parts(net: Builder, images: Images) -> relax.Var:
    """The halves of an image, one as the gate of the other."""
    x = images[-1]
    if extent(x, 1) % 2:
        return x
    halves = net.emit(relax.op.split(x, 2, 1))
    one, two = (net.emit(relax.TupleGetItem(halves, index)) for index in range(2))
    return net.emit(relax.op.multiply(one, net.emit(relax.op.sigmoid(two))))


def sliced(net: Builder, images: Images) -> relax.Var:
    x = images[-1]
    count = extent(x, 1)
    first = net.choices.integer(0, count - 1)
    last = net.choices.integer(first + 1, count)
    step = net.choices.choose((1, 1, 2)) if last - first > 1 else 1
    return net.emit(relax.op.strided_slice(x, [1], [first], [last], [step]))


def gated(net: Builder, images: Images) -> relax.Var:
    """Squeeze and excite."""
    x = images[-1]
    mean = net.emit(relax.op.mean(x, [2, 3], True))
    reduced = net.emit(relax.op.nn.relu(net.conv(mean, net.channels())))
    gate = net.emit(relax.op.sigmoid(net.conv(reduced, extent(x, 1))))
    return net.emit(relax.op.multiply(x, gate))


def spatial_gate(net: Builder, images: Images) -> relax.Var:
    """An image of one channel that counts for all of another one."""
    x = images[-1]
    gates = (lambda: net.conv(x, 1, 3), lambda: relax.op.max(x, [1], True), lambda: relax.op.mean(x, [1], True))
    gate = net.choices.choose(gates)()
    return net.emit(relax.op.multiply(net.emit(relax.op.sigmoid(net.emit(gate))), x))


def pooled(net: Builder, images: Images) -> relax.Var:
    x = images[-1]
    if extent(x, 2) < 2:
        return x
    functions = (relax.op.nn.max_pool2d, relax.op.nn.avg_pool2d)
    return net.emit(net.choices.choose(functions)(x, [2, 2], [2, 2], count_include_pad=True))


def resized(net: Builder, images: Images) -> relax.Var:
    x = images[-1]
    if extent(x, 2) > 4:
        return net.emit(relax.op.nn.adaptive_avg_pool2d(x, [2, 2]))
    size = relax.ShapeExpr([extent(x, 2) * 2, extent(x, 3) * 2])
    options = {"coordinate_transformation_mode": "asymmetric", "rounding_method": "floor"}
    return net.emit(relax.op.image.resize2d(x, size, layout="NCHW", method="nearest_neighbor", **options))


def shuffled(net: Builder, images: Images) -> relax.Var:
    """The channels of each group taken in turn, as in ShuffleNet."""
    x = images[-1]
    count, height, width = shape(x)[1:]
    groups = net.choices.choose(_divisors(count))
    y = net.permute(net.reshape(x, -1, groups, count // groups, height, width), 0, 2, 1, 3, 4)
    return net.reshape(y, -1, count, height, width)


def pixels_of_channels(net: Builder, images: Images) -> relax.Var:
    """Depth to space, in both orders of ONNX; or a convolution where channels are no multiple of four."""
    x = images[-1]
    count, height, width = shape(x)[1:]
    if count % 4 or height > 8:
        return net.conv(x, 4)
    if net.choices.flag():
        y = net.permute(net.reshape(x, -1, 2, 2, count // 4, height, width), 0, 3, 4, 1, 5, 2)
    else:
        y = net.permute(net.reshape(x, -1, count // 4, 2, 2, height, width), 0, 1, 4, 2, 5, 3)
    return net.reshape(y, -1, count // 4, 2 * height, 2 * width)


def channels_of_pixels(net: Builder, images: Images) -> relax.Var:
    """Space to depth."""
    x = images[-1]
    count, height, width = shape(x)[1:]
    if height % 2 or count > 8:
        return x
    y = net.permute(net.reshape(x, -1, count, height // 2, 2, width // 2, 2), 0, 3, 5, 1, 2, 4)
    return net.reshape(y, -1, 4 * count, height // 2, width // 2)


def padded(net: Builder, images: Images) -> relax.Var:
    x = images[-1]
    if net.choices.flag():
        return net.emit(relax.op.nn.pad(x, [0, 0, 1, 2, 0, 0, 0, 0]))
    mode = net.choices.choose(("constant", "reflect")) if extent(x, 2) > 1 else "constant"
    return net.emit(relax.op.nn.pad(x, [0, 0, 0, 0, 1, 0, 0, 1], mode))


def prelu(net: Builder, images: Images) -> relax.Var:
    x = images[-1]
    return net.emit(relax.op.nn.prelu(x, net.weight(net.choices.choose((extent(x, 1), 1))), 1))


def scaled(net: Builder, images: Images) -> relax.Var:
    """A layer's scale, or one number for all."""
    x = images[-1]
    return net.emit(relax.op.multiply(x, net.positive(net.choices.choose((extent(x, 1), 1)), 1, 1)))


def normalized(net: Builder, images: Images) -> relax.Var:
    x = images[-1]
    count = extent(x, 1)
    scale, bias = net.positive(count), net.weight(count)
    kind = net.choices.choose(("group", "instance", "softmax"))
    if kind == "softmax":
        return net.emit(relax.op.nn.softmax(x, 1))
    if kind == "group" or extent(x, 2) < 2:
        groups = net.choices.choose(_divisors(count))
        return net.emit(relax.op.nn.group_norm(x, scale, bias, groups, 1, [2, 3]))
    return net.emit(relax.op.nn.instance_norm(x, scale, bias, 1, [2, 3]))


def repeated(net: Builder, images: Images) -> relax.Var:
    """A layer that is used twice: its weights are tied."""
    x = images[-1]
    count = extent(x, 1)
    weight = net.weight(count, count, 3, 3, fan_in=9 * count)
    return net.convolved(net.activation(net.convolved(x, weight)), weight)


def copied(net: Builder, images: Images) -> relax.Var:
    """Channels in reverse, several times, or in another order."""
    x = images[-1]
    count = extent(x, 1)
    kind = net.choices.choose(("flip", "repeat", "tile", "stack", "take"))
    if kind == "take":
        picked = [net.choices.integer(0, count - 1) for _ in range(net.choices.integer(1, 8))]
        return net.emit(relax.op.take(x, constant(np.array(picked, np.int64)), 1, "clip"))
    if kind == "flip" or count > 8:
        return net.emit(relax.op.flip(x, 1))
    if kind == "repeat":
        return net.emit(relax.op.repeat(x, 2, 1))
    if kind == "tile":
        return net.emit(relax.op.tile(x, [1, 2, 1, 1]))
    pair = net.emit(relax.op.stack([x, net.activation(x)], 2 if net.choices.flag() else 1))
    return net.reshape(pair, -1, 2 * count, *shape(x)[2:])


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(number, 0, -1) if number % divisor == 0]


BLOCKS: Sequence[Block] = (
    *(convolution, convolution, residual, shortcut, added, joined, parted, added_parts, sliced, gated, spatial_gate),
    *(grouped, depthwise, transposed, pooled, resized, shuffled, pixels_of_channels, channels_of_pixels, padded),
    *(prelu, scaled, normalized, repeated, copied),
)
"""The first one is the simplest."""
