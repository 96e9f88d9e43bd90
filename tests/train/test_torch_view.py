"""What PyTorch computes for operators, against TVM's own lowering, and whole networks against their modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from tvm import relax
from tvm.relax import op

import edgecompile as ec
from edgecompile import zoo
from edgecompile.errors import UnsupportedModelError
from edgecompile.frontend.model import TensorSpec
from edgecompile.train import TorchView
from tests.relax_models import constant, make_model, run_virtual_machine

GENERATOR = np.random.default_rng(0)
IMAGE, ODD, TOKENS = (2, 4, 7, 6), (2, 3, 5), (2, 5, 3, 4)


def numbers(*shape: int) -> Any:
    return constant(GENERATOR.standard_normal(shape, np.float32))


def positive(*shape: int) -> Any:
    return constant(GENERATOR.uniform(0.5, 2, shape).astype(np.float32))


def whole(*values: int) -> Any:
    return constant(np.array(values, np.int64))


def batch_norm(x: Any) -> Any:
    return relax.TupleGetItem(
        op.nn.batch_norm(x, numbers(4), numbers(4), numbers(4), positive(4), axis=1, training=False), 0
    )


UNARY = (
    *("abs", "atan", "ceil", "cos", "cosh", "erf", "exp", "floor", "negative", "round", "sigmoid", "sign", "sin"),
    *("square", "tanh", "trunc", "nn.relu", "nn.relu6", "nn.selu", "nn.silu", "nn.gelu", "nn.gelu_tanh"),
)


def unary(x: Any) -> list[Any]:
    functions = [getattr(op.nn, name[3:]) if name.startswith("nn.") else getattr(op, name) for name in UNARY]
    return [function(x) for function in functions]


def binary(x: Any) -> list[Any]:
    other = positive(3, 1)
    tensors = [getattr(op, name)(x, other) for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")]
    powers = op.power(op.abs(x), other)
    larger = op.greater(x, other)
    integer = op.floor_divide(op.astype(op.multiply(x, numbers(1)), "int32"), relax.const(3, "int32"))
    return [*tensors, powers, op.where(larger, x, other), op.astype(integer, "float32")]


def reductions(x: Any) -> list[Any]:
    found = [op.mean(x, [0, 2]), op.sum(x), op.max(x, -1, keepdims=True), op.min(x, 1), op.variance(x, [1, 2])]
    return [*found, op.std(x, 2), op.prod(x, [0, 2], keepdims=True), op.cumsum(x, 1), op.argmax(x, 2)]


def shapes(x: Any) -> list[Any]:
    moved = [op.permute_dims(x), op.permute_dims(x, [0, 2, 1]), op.reshape(x, (3, 10)), op.flatten(x), op.flip(x, 1)]
    ones = op.expand_dims(x, [0, -1])
    moved += [ones, op.squeeze(ones), op.squeeze(ones, [0]), op.broadcast_to(op.sum(x, 1, True), (2, 3, 5))]
    return [*moved, op.tile(x, (2, 1, 2)), op.repeat(x, 2, 1), op.nn.pad(x, [0, 1, 2, 0, 0, 3], pad_value=2.0)]


def parts(x: Any) -> list[Any]:
    places, equal = op.split(x, [1, 4], 2), op.split(x, 3, 1)
    found = [op.concat([x, op.negative(x)], 1), relax.TupleGetItem(places, 1), relax.TupleGetItem(equal, 2)]
    found += [op.strided_slice(x, [2], [1], [9], [2]), op.strided_slice(x, [1, 2], [-1, 4], [-10, 0], [-1, -2])]
    taken = [op.take(x, whole(2, 0, 2), 1, mode="clip"), op.take(x, constant(np.int64(1)), 2, mode="clip")]
    return [*found, *taken, op.stack([x, x], 1)]


def norms(x: Any) -> list[Any]:
    layer = op.nn.layer_norm(x, numbers(7, 6), numbers(7, 6), [2, 3])
    group = op.nn.group_norm(x, numbers(4), numbers(4), 2, 1, [2, 3])
    return [
        batch_norm(x),
        layer,
        group,
        op.nn.rms_norm(x, numbers(6), -1),
        op.nn.softmax(x, 1),
        op.nn.log_softmax(x, 2),
    ]


def convolutions(x: Any) -> list[Any]:
    odd = op.nn.conv2d(x, numbers(6, 2, 3, 2), strides=[2, 1], padding=[1, 0, 2, 1], dilation=[1, 2], groups=2)
    even = op.nn.conv2d(x, numbers(4, 1, 3, 3), padding=[1, 1, 1, 1], groups=4)
    up = op.nn.conv2d_transpose(
        x, numbers(4, 3, 3, 3), strides=[2, 2], padding=[1, 0, 1, 1], output_padding=[1, 0], kernel_layout="IOHW"
    )
    line = op.nn.conv1d(op.reshape(x, (2, 4, 42)), numbers(3, 4, 5), padding=[2, 2])
    return [odd, even, up, line]


def pools(x: Any) -> list[Any]:
    options: Mapping[str, Any] = {"strides": [2, 2], "padding": [1, 0, 1, 1]}
    found = [
        op.nn.avg_pool2d(x, [3, 2], **options, ceil_mode=ceil, count_include_pad=counts)
        for ceil in (False, True)
        for counts in (False, True)
    ]
    found += [op.nn.max_pool2d(x, [3, 2], **options, ceil_mode=ceil) for ceil in (False, True)]
    sizes = relax.ShapeExpr([14, 9])
    resized = [
        op.image.resize2d(x, sizes, method="linear", coordinate_transformation_mode="half_pixel"),
        op.image.resize2d(x, sizes, method="nearest_neighbor", coordinate_transformation_mode="asymmetric"),
    ]
    return [*found, op.nn.adaptive_avg_pool2d(x, [3, 2]), *resized]


def activations(x: Any) -> list[Any]:
    slope = op.nn.prelu(x, positive(4), 1)
    return [op.nn.leakyrelu(x, 0.2), op.nn.softplus(x), op.clip(x, -1, 0.5), slope, op.matmul(x, numbers(6, 3))]


def attention(x: Any) -> list[Any]:
    keys, values = numbers(2, 5, 3, 4), numbers(2, 5, 3, 4)
    return [op.nn.attention(x, keys, values), op.nn.attention(x, keys, values, numbers(2, 3, 5, 5))]


BODIES: Mapping[str, tuple[tuple[int, ...], Callable[[Any], list[Any]]]] = {
    "unary": (ODD, unary),
    "binary": (ODD, binary),
    "reductions": (ODD, reductions),
    "shapes": (ODD, shapes),
    "parts": (ODD, parts),
    "norms": (IMAGE, norms),
    "convolutions": (IMAGE, convolutions),
    "pools": (IMAGE, pools),
    "activations": (IMAGE, activations),
    "attention": (TOKENS, attention),
}


@pytest.mark.parametrize("name", BODIES)
def test_operators_are_those_of_the_machine(name: str) -> None:
    shape, body = BODIES[name]

    def emitted(builder: relax.BlockBuilder, x: relax.Var) -> list[Any]:
        return [builder.emit(value) for value in body(x)]

    module = make_model([TensorSpec("x", shape, "float32")], emitted, []).module
    x = GENERATOR.standard_normal(shape, np.float32)
    with torch.no_grad():
        found = TorchView(module)([torch.from_numpy(x)])
    expected = run_virtual_machine(module, x)
    assert len(found) == len(expected)
    for place, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert tuple(one.shape) == other.shape, f"{name} {place}"
        np.testing.assert_allclose(one.numpy(), other, rtol=2e-5, atol=2e-6, err_msg=f"{name} {place}")


@pytest.mark.parametrize("name", ["keyword_spotting", "bert_tiny"])
def test_networks_are_their_modules(name: str) -> None:
    module, inputs = zoo.build(name)
    with torch.no_grad():
        answer = module(*inputs)
        found = TorchView(ec.load(f"zoo:{name}").module)(inputs)
    expected = list(answer.values()) if isinstance(answer, dict) else [answer]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_gradients_reach_the_constants() -> None:
    weight = GENERATOR.standard_normal((3, 5), np.float32)

    def body(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        turned = builder.emit(op.permute_dims(constant(weight)), name_hint="turned")
        return builder.emit(op.nn.relu(builder.emit(op.matmul(x, turned))))

    view = TorchView(make_model([TensorSpec("x", (2, 5), "float32")], body, []).module)
    [leaf] = view.leaves.values()
    x = torch.randn(2, 5)
    [gradient] = torch.autograd.grad(view([x])[0].sum(), [leaf])
    active = (x @ torch.from_numpy(weight).T > 0).float()
    torch.testing.assert_close(gradient, active.T @ x)


def test_extents_that_are_known_at_run_time_only() -> None:
    def body(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        n, m = x.ty.shape.values
        return builder.emit(op.reshape(x, (m * n // 2, 2)))

    view = TorchView(make_model([TensorSpec("x", ("n", "m"), "float32")], body, []).module)
    assert view([torch.zeros(3, 4)])[0].shape == (6, 2)


def test_an_unknown_operator_is_named() -> None:
    def body(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        return builder.emit(op.sort(x), name_hint="ordered")

    module = make_model([TensorSpec("x", (3,), "float32")], body, []).module
    with pytest.raises(UnsupportedModelError, match="found none of 'sort' for 'ordered'"):
        TorchView(module)
