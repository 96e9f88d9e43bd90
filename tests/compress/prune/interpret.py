"""`interpret`: the results of a Relax module by PyTorch in float64, without compiling it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
import tvm
from torch.nn import functional
from tvm import relax, tirx

from edgecompile.compress.graph.variables import bindings_of

Value: TypeAlias = "torch.Tensor | tuple[Value, ...]"
Operator: TypeAlias = Callable[[Any, list[Any]], Value]


def interpret(module: tvm.IRModule, *arrays: np.ndarray) -> list[np.ndarray]:
    """What `main` computes, all floats in 64 bits so that only real differences show.

    Raises:
        KeyError: an operator that is not in `OPERATORS`.
    """
    return _Run(module["main"], arrays).results()


class _Run:
    def __init__(self, main: relax.Function, arrays: Sequence[np.ndarray]) -> None:
        self._main = main
        self._values: dict[relax.Var, Value] = {}
        self._symbols: dict[str, int] = {}
        for parameter, array in zip(main.params, arrays, strict=True):
            self._values[parameter] = _tensor(array)
            for extent, known in zip(parameter.ty.shape.values, array.shape, strict=True):
                if isinstance(extent, tirx.Var):
                    self._symbols[extent.name] = known

    def results(self) -> list[np.ndarray]:
        for binding in bindings_of(self._main):
            self._values[binding.var] = self._value(binding.value)
        result = self._value(self._main.body.body)
        return [part.numpy() for part in (result if isinstance(result, tuple) else (result,))]

    def _value(self, value: relax.Expr) -> Any:
        if isinstance(value, relax.Var):
            return self._values[value]
        if isinstance(value, tvm.ir.GenericConst):
            return _tensor(value.value.numpy())
        if isinstance(value, relax.Tuple):
            return tuple(self._value(part) for part in value.fields)
        if isinstance(value, relax.TupleGetItem):
            return self._value(value.tuple_value)[value.index]
        if isinstance(value, relax.ShapeExpr):
            return [self._symbols[e.name] if isinstance(e, tirx.Var) else int(e) for e in value.values]
        if isinstance(value, relax.Call):
            operator = OPERATORS[value.op.name.removeprefix("relax.")]
            return operator(value.attrs, [self._value(argument) for argument in value.args])
        return int(value.value)  # a number, such as the bound of a slice


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float64) if array.dtype.kind == "f" else array.copy())


def _integers(values: Any) -> list[int]:
    return [int(value) for value in values]


def _padded(a: Any, x: torch.Tensor, value: float = 0) -> torch.Tensor:
    top, left, bottom, right = _integers(a.padding)
    return functional.pad(x, (left, right, top, bottom), value=value)


def _conv2d(a: Any, args: list[Any]) -> Value:
    x, weight = args
    options = {"stride": _integers(a.strides), "dilation": _integers(a.dilation), "groups": int(a.groups)}
    return functional.conv2d(_padded(a, x), weight, **options)


def _conv2d_transpose(a: Any, args: list[Any]) -> Value:
    x, weight = args
    top, left, bottom, right = _integers(a.padding)
    assert (top, left) == (bottom, right)
    options = {"output_padding": _integers(a.output_padding), "groups": int(a.groups)}
    return functional.conv_transpose2d(x, weight, None, _integers(a.strides), (top, left), **options)


def _batch_norm(a: Any, args: list[Any]) -> Value:
    x, scale, bias, mean, variance = args
    shape = [-1 if place == int(a.axis) % x.ndim else 1 for place in range(x.ndim)]
    y = (x - mean.reshape(shape)) / torch.sqrt(variance.reshape(shape) + float(a.epsilon))
    return y * scale.reshape(shape) + bias.reshape(shape), mean, variance


def _layer_norm(a: Any, args: list[Any]) -> Value:
    x, scale, bias = args
    return functional.layer_norm(x, x.shape[-1:], scale, bias, float(a.epsilon))


def _group_norm(a: Any, args: list[Any]) -> Value:
    x, scale, bias = args
    return functional.group_norm(x, int(a.num_groups), scale, bias, float(a.epsilon))


def _instance_norm(a: Any, args: list[Any]) -> Value:
    x, scale, bias = args
    return functional.instance_norm(x, weight=scale, bias=bias, eps=float(a.epsilon))


def _max_pool2d(a: Any, args: list[Any]) -> Value:
    return functional.max_pool2d(_padded(a, args[0], -np.inf), _integers(a.pool_size), _integers(a.strides))


def _avg_pool2d(a: Any, args: list[Any]) -> Value:
    assert bool(a.count_include_pad)
    return functional.avg_pool2d(_padded(a, args[0]), _integers(a.pool_size), _integers(a.strides))


def _resize2d(a: Any, args: list[Any]) -> Value:
    assert str(a.method) == "nearest_neighbor" and str(a.coordinate_transformation_mode) == "asymmetric"
    x, (height, width) = args
    rows = torch.arange(height) * x.shape[2] // height
    return x[:, :, rows][..., torch.arange(width) * x.shape[3] // width]


def _pad(a: Any, args: list[Any]) -> Value:
    widths = np.array(_integers(a.pad_width)).reshape(-1, 2)
    mode = {"constant": "constant", "reflect": "reflect", "edge": "edge"}[str(a.pad_mode)]
    return torch.from_numpy(np.pad(args[0].numpy(), widths, mode=mode))  # type: ignore[call-overload]


def _permute_dims(a: Any, args: list[Any]) -> Value:
    return args[0].permute(_integers(a.axes) if a.axes else tuple(range(args[0].ndim))[::-1])  # type: ignore[no-any-return]


def _prelu(a: Any, args: list[Any]) -> Value:
    x, slope = args
    shape = [-1 if place == int(a.axis) % x.ndim else 1 for place in range(x.ndim)]
    return torch.where(x > 0, x, x * slope.reshape(shape))


def _split(a: Any, args: list[Any]) -> Value:
    x, axis = args[0], int(a.axis)
    if isinstance(a.indices_or_sections, (int, tirx.IntImm)):
        return tuple(torch.chunk(x, int(a.indices_or_sections), axis))
    return tuple(torch.tensor_split(x, _integers(a.indices_or_sections), axis))


def _slice(a: Any, args: list[Any]) -> Value:
    x, axes, begins, ends = args[:4]
    steps = args[4] if len(args) > 4 else [1] * len(axes)
    for axis, begin, end, step in zip(axes, begins, ends, steps, strict=True):
        x = x[(slice(None),) * axis + (slice(begin, end, step),)]
    return x  # type: ignore[no-any-return]


def _squeeze(a: Any, args: list[Any]) -> Value:
    return args[0].squeeze(tuple(_integers(a.axis)))  # type: ignore[no-any-return]


def _expand_dims(a: Any, args: list[Any]) -> Value:
    x = args[0]
    for axis in sorted(_integers(a.axis)):
        x = x.unsqueeze(axis)
    return x  # type: ignore[no-any-return]


def _repeat(a: Any, args: list[Any]) -> Value:
    return torch.repeat_interleave(args[0], int(a.repeats), int(a.axis))


def _reduction(function: Callable[..., torch.Tensor]) -> Operator:
    return lambda a, args: function(args[0], _integers(a.axis), keepdim=bool(a.keepdims))


def _attention(a: Any, args: list[Any]) -> Value:
    q, k, v = (argument.transpose(1, 2) for argument in args)
    return functional.scaled_dot_product_attention(q, k, v, scale=float(a.scale)).transpose(1, 2)


OPERATORS: Mapping[str, Operator] = {
    "add": lambda a, args: args[0] + args[1],
    "concat": lambda a, args: torch.cat(args[0], int(a.axis)),
    "broadcast_to": lambda a, args: args[0].broadcast_to(args[1]),
    "divide": lambda a, args: args[0] / args[1],
    "einsum": lambda a, args: torch.einsum(str(a.subscripts), *args[0]),
    "expand_dims": _expand_dims,
    "flip": lambda a, args: args[0].flip(int(a.axis)),
    "image.resize2d": _resize2d,
    "matmul": lambda a, args: args[0] @ args[1],
    "max": _reduction(torch.amax),
    "maximum": lambda a, args: torch.maximum(args[0], args[1]),
    "mean": _reduction(torch.mean),
    "multiply": lambda a, args: args[0] * args[1],
    "nn.adaptive_avg_pool2d": lambda a, args: functional.adaptive_avg_pool2d(args[0], _integers(a.output_size)),
    "nn.attention": _attention,
    "nn.avg_pool2d": _avg_pool2d,
    "nn.batch_norm": _batch_norm,
    "nn.conv2d": _conv2d,
    "nn.conv2d_transpose": _conv2d_transpose,
    "nn.gelu": lambda a, args: functional.gelu(args[0]),
    "nn.group_norm": _group_norm,
    "nn.instance_norm": _instance_norm,
    "nn.layer_norm": _layer_norm,
    "nn.max_pool2d": _max_pool2d,
    "nn.pad": _pad,
    "nn.prelu": _prelu,
    "nn.relu": lambda a, args: torch.relu(args[0]),
    "nn.silu": lambda a, args: functional.silu(args[0]),
    "nn.softmax": lambda a, args: torch.softmax(args[0], int(a.axis)),
    "permute_dims": _permute_dims,
    "repeat": _repeat,
    "reshape": lambda a, args: args[0].reshape(args[1]),
    "sigmoid": lambda a, args: torch.sigmoid(args[0]),
    "split": _split,
    "squeeze": _squeeze,
    "stack": lambda a, args: torch.stack(args[0], int(a.axis)),
    "strided_slice": _slice,
    "subtract": lambda a, args: args[0] - args[1],
    "sum": _reduction(torch.sum),
    "take": lambda a, args: torch.from_numpy(np.take(args[0].numpy(), args[1].numpy(), int(a.axis))),
    "tile": lambda a, args: args[0].tile(tuple(_integers(a.repeats))),
}
"""By the name of the operator in Relax, without its prefix."""
