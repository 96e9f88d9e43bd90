"""Random networks to factorise, and PyTorch's answer for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import tvm
from hypothesis import strategies
from torch.nn import functional
from tvm import relax

from edgecompile.frontend.model import Model, TensorSpec
from tests.relax_models import constant, make_model

Draw = Callable[[Any], Any]


@strategies.composite
def random_models(draw: Draw) -> Model:
    """Convolutions of odd sizes with biases, adds, concats and groups, then a mean and matrix products."""
    random = np.random.default_rng(draw(strategies.integers(0, 2**16)))
    channels, size = draw(strategies.integers(1, 5)), draw(strategies.integers(4, 8))
    count, tails = draw(strategies.integers(1, 4)), draw(strategies.integers(0, 2))
    outputs: list[TensorSpec] = []

    def numbers(*shape: int) -> tvm.ir.GenericConst:
        fan = max(1, int(np.prod(shape[1:])))
        return constant((random.standard_normal(shape) / np.sqrt(fan)).astype(np.float32))

    def convolution(builder: relax.BlockBuilder, x: relax.Var, name: str) -> relax.Var:
        _, inputs, height, width = (int(extent) for extent in x.ty.shape.values)
        kernel = [min(draw(strategies.integers(1, 3)), extent) for extent in (height, width)]
        groups = inputs if draw(strategies.integers(0, 5)) == 0 else 1
        results = inputs if groups > 1 else draw(strategies.integers(1, 7))
        padding = tuple(draw(strategies.integers(0, extent - 1)) for extent in kernel * 2)
        sums = builder.emit(
            relax.op.nn.conv2d(
                x,
                numbers(results, inputs // groups, *kernel),
                strides=tuple(draw(strategies.integers(1, 2)) for _ in kernel),
                padding=padding,
                dilation=tuple(2 if (taps - 1) * 2 + 1 <= extent and draw(strategies.booleans()) else 1
                               for taps, extent in zip(kernel, (height, width), strict=True)),
                groups=groups,
            ),
            name_hint=name,
        )  # fmt: skip
        return builder.emit(relax.op.add(sums, numbers(1, results, 1, 1)), name_hint=f"{name}_bias")

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        for index in range(count):
            y = convolution(builder, x, f"conv{index}")
            shapes = [[int(extent) for extent in value.ty.shape.values] for value in (x, y)]
            if shapes[0] == shapes[1] and draw(strategies.booleans()):
                y = builder.emit(relax.op.add(x, y), name_hint=f"join{index}")
            elif shapes[0][2:] == shapes[1][2:] and draw(strategies.booleans()):
                y = builder.emit(relax.op.concat([x, y], axis=1), name_hint=f"concat{index}")
            x = builder.emit(relax.op.nn.relu(y), name_hint=f"relu{index}")
        x = builder.emit(relax.op.mean(x, [2, 3]), name_hint="mean")
        for index in range(tails):
            width = draw(strategies.integers(1, 9))
            x = builder.emit(relax.op.matmul(x, numbers(int(x.ty.shape.values[1]), width)), name_hint=f"dense{index}")
        outputs.append(TensorSpec("y", tuple(int(extent) for extent in x.ty.shape.values), "float32"))
        return x

    spec = TensorSpec("x", (2, channels, size, size), "float32")
    return make_model([spec], body, outputs)


def run_torch(module: tvm.IRModule, x: np.ndarray) -> np.ndarray:
    """The result of the operators above, in float64."""
    main = module["main"]
    values: dict[relax.Var, torch.Tensor] = {main.params[0]: torch.from_numpy(x).double()}

    def value(expression: relax.Expr) -> torch.Tensor:
        if isinstance(expression, tvm.ir.GenericConst):
            return torch.from_numpy(expression.value.numpy()).double()
        return values[expression]

    for binding in main.body.blocks[0].bindings:
        call = binding.value
        values[binding.var] = value(call) if isinstance(call, relax.Var) else _apply(call, value)
    return values[main.body.body].numpy()


def _apply(call: relax.Call, value: Callable[[relax.Expr], torch.Tensor]) -> torch.Tensor:
    name, attributes = str(call.op.name), call.attrs
    if name == "relax.concat":
        return torch.cat([value(field) for field in call.args[0].fields], int(attributes.axis))
    arguments = [value(argument) for argument in call.args]
    if name == "relax.nn.conv2d":
        top, left, bottom, right = (int(pixels) for pixels in attributes.padding)
        strides, dilation = ([int(n) for n in numbers] for numbers in (attributes.strides, attributes.dilation))
        padded = functional.pad(arguments[0], (left, right, top, bottom))
        return functional.conv2d(padded, arguments[1], None, strides, 0, dilation, int(attributes.groups))
    if name == "relax.mean":
        return arguments[0].mean([int(axis) for axis in attributes.axis])
    simple: dict[str, Callable[..., torch.Tensor]] = {
        "relax.add": torch.add, "relax.matmul": torch.matmul, "relax.nn.relu": torch.relu,
    }  # fmt: skip
    return simple[name](*arguments)


def layer_model(weight: np.ndarray, size: tuple[int, int] = (7, 6), images: int = 2, **options: Any) -> Model:
    """`[images, C, *size]` -> the convolution `layer` of this weight, or `[images, 3, C]` -> the product with it."""
    if weight.ndim == 2:
        spec = TensorSpec("x", (images, 3, weight.shape[0]), "float32")
    else:
        spec = TensorSpec("x", (images, weight.shape[1] * options.get("groups", 1), *size), "float32")
    outputs: list[TensorSpec] = []

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        value = constant(weight)
        call = relax.op.matmul(x, value) if weight.ndim == 2 else relax.op.nn.conv2d(x, value, **options)
        result = builder.emit(call, name_hint="layer")
        outputs.append(TensorSpec("y", tuple(int(extent) for extent in result.ty.shape.values), "float32"))
        return builder.emit(relax.op.nn.relu(result), name_hint="relu")

    return make_model([spec], body, outputs)


def random_input(model: Model, seed: int = 0) -> np.ndarray:
    """For its one input; the channels are correlated, as those of real activations are."""
    random = np.random.default_rng(seed)
    shape = [int(extent) for extent in model.inputs[0].shape]
    plain = random.standard_normal(shape)
    return (plain + 0.9 * random.standard_normal(shape[:1] + [1] * (len(shape) - 1))).astype(np.float32)


def terms_of(weight: np.ndarray) -> int:
    """How many terms each sum has."""
    return weight.shape[0] if weight.ndim == 2 else math.prod(weight.shape[1:])
