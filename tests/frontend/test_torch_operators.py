"""Converters against PyTorch: the cases where its rules differ from those of Relax, several to a compilation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgecompile.frontend.load import load
from tests.frontend.torch_execution import assert_matches

Case = tuple[Callable[..., Sequence[torch.Tensor]], tuple[torch.Tensor, ...]]


class Function(nn.Module):
    """A module whose forward is a plain function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.function(*tensors)


def _promotion(x: torch.Tensor, n: torch.Tensor, b: torch.Tensor) -> Sequence[torch.Tensor]:
    return (
        torch.add(x, n, alpha=2), torch.sub(n, 3, alpha=2), torch.rsub(n, 7, alpha=2), n / 2, n / n, x * b, n + b,
        n == x, n < 2.5, b * b, b + b, torch.where(b, x, n), torch.where(n > 0, 1.0, n), n.masked_fill(b, -1),
        n.sum(dtype=None), b.sum(), (n > 1).float().mean(), n.to(torch.bool), torch.sqrt(n.abs()), torch.exp(b),
    )  # fmt: skip


def _division(x: torch.Tensor, n: torch.Tensor) -> Sequence[torch.Tensor]:
    return (
        torch.div(n, 3, rounding_mode="trunc"), torch.div(n, 3, rounding_mode="floor"), n // -3, n % 3, n % -3,
        torch.fmod(n, 3), torch.div(x, 0.3, rounding_mode="trunc"), x // 0.3, x % 0.3, torch.fmod(x, 0.3), n**2, n**0,
        x**3, x.abs() ** 0.5, x.abs() ** 1.5, 2**x, x.abs() ** -0.5, torch.round(x), torch.floor(n), x.reciprocal(),
    )  # fmt: skip


def _activations(x: torch.Tensor) -> Sequence[torch.Tensor]:
    f = functional
    return (
        x.clamp(-0.5), x.clamp(max=0.5), x.clamp(-0.1, 0.1), f.celu(x, 0.7), f.elu(x, 1.3), f.selu(x),
        f.leaky_relu(x, 0.2), f.hardswish(x), f.hardsigmoid(x), f.hardtanh(x), f.relu6(x * 9), f.mish(x),
        f.softplus(x, 2), f.softsign(x), f.tanhshrink(x), f.softshrink(x), f.gelu(x), f.gelu(x, approximate="tanh"),
        f.silu(x), f.logsigmoid(x), f.glu(x), f.prelu(x, torch.tensor([0.1, 0.2, 0.3])), f.log_softmax(x, 1),
        f.softmin(x, 0), torch.special.expit(x), f.threshold(x, 0, 2),
    )  # fmt: skip


def _reductions(x: torch.Tensor, n: torch.Tensor) -> Sequence[torch.Tensor]:
    return (
        x.var(1), x.std((0, 2), correction=0), x.var(unbiased=False), x.amax((0, 1)), x.max(), *x.max(1),
        *x.min(-1, keepdim=True), x.argmax(), x.argmin(2, keepdim=True), x.norm(), x.norm(1, dim=0),
        torch.linalg.vector_norm(x, 3, dim=1), torch.linalg.vector_norm(x, float("inf")), x.logsumexp(1), x.prod(2),
        n.cumsum(0), x.cumprod(1), (x > 0).any(1), (x > -9).all(), (n != 0).any(), n.amin(0),
        *x.topk(2, largest=False), *x.sort(1, descending=True), x.mean((0, 2), True),
    )  # fmt: skip


def _indexing(x: torch.Tensor, i: torch.Tensor) -> Sequence[torch.Tensor]:
    written = x.clone()
    written[:, 1:3] = 7
    written[0, ..., -1] = x[1, ..., 0]
    stepped = x.clone()
    stepped[:, ::2] = 0
    put = x.clone()
    put[i] = 5
    return (
        x[-1], x[:, -2], x[..., 1:-1], x[:, ::2], x[5:], x[:, -99:99], x[i], x[:, i], x[i, i], x[i[:, None], i],
        x[:, i, i], x[None, :, None], x.select(1, -1), x.index_select(2, i),
        x.gather(1, i.reshape(3, 1, 1).expand(3, 2, 2)), x.scatter(0, i.reshape(1, 3, 1).expand(1, 3, 4), 9.0),
        x.flip(0, 2), x.roll((1, -1), (0, 1)), x.diagonal(1, 1, 2), torch.tril(x), torch.triu(x, 1), written, stepped,
        put,
    )  # fmt: skip


def _shapes(x: torch.Tensor) -> Sequence[torch.Tensor]:
    return (
        x.reshape(4, -1), x.transpose(0, -1).contiguous(), x.squeeze(0), x[:1].squeeze(), x.expand(2, 3, 3, 4),
        x.repeat(2, 1, 2), *x.split(2, 1), *x.chunk(2, 2), *x.unbind(0), torch.cat((x, x), 1),
        torch.stack((x, x), -1), x.unflatten(2, (2, 2)), functional.pad(x, (1, -1, 2, 0)),
        functional.pad(x, (1, 1), mode="reflect"), functional.pad(x, (1, 2), mode="circular"),
        torch.einsum("abc,dbc->ad", x, x), torch.outer(x[0, 0], x[0, 1]), x @ x.transpose(1, 2), x[0, 0] @ x[0, 1],
        x.as_strided((2, 3), (3, 2), 1), x.as_strided((9, 4), (4, 1)), torch.arange(5.0), torch.arange(1, 9, 3),
        torch.linspace(0, 1, 4), torch.eye(3), torch.full((2,), 3), torch.zeros_like(x),
    )  # fmt: skip


def _images(x: torch.Tensor) -> Sequence[torch.Tensor]:
    f = functional
    return (
        f.max_pool2d(x, 3, 2, 1), f.max_pool2d(x, 2, ceil_mode=True), f.avg_pool2d(x, 3, 2, 1),
        f.avg_pool2d(x, 2, ceil_mode=True), f.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
        f.adaptive_avg_pool2d(x, 1), f.adaptive_avg_pool2d(x, (3, 2)), f.adaptive_max_pool2d(x, 1),
        f.interpolate(x, scale_factor=2), f.interpolate(x, (4, 9), mode="bilinear"),
        f.interpolate(x, (4, 9), mode="bicubic", align_corners=True), f.interpolate(x, scale_factor=1.7),
        f.pixel_shuffle(x, 2), f.pixel_unshuffle(x[..., :6, :6], 2), f.instance_norm(x), f.group_norm(x, 2),
        f.layer_norm(x, (7, 7)), f.rms_norm(x, (7,)), f.normalize(x, dim=1), f.unfold(x, 3),
        f.local_response_norm(x, 3),
    )  # fmt: skip


def _attention(q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor) -> Sequence[torch.Tensor]:
    attend = functional.scaled_dot_product_attention
    return (
        attend(q, k, k), attend(q, k, k, scale=0.3), attend(q, q, q, is_causal=True), attend(q, k, k, attn_mask=mask),
        attend(q, k, k, attn_mask=mask.float()), attend(q[0], k[0], k[0]),
        attend(q, k[:, :2], k[:, :2], enable_gqa=True),
    )  # fmt: skip


def _half(x: torch.Tensor, w: torch.Tensor) -> Sequence[torch.Tensor]:
    return (
        x @ w,
        x.softmax(-1),
        functional.layer_norm(x, (8,)),
        x.sum(1),
        functional.gelu(x),
        x + 1.5,
        x.tanh().acos(),
        torch.atan2(x, x + 1),
    )


def _cases() -> dict[str, Case]:
    torch.manual_seed(0)
    x, n = torch.randn(3, 4), torch.arange(-6, 6).reshape(3, 4)
    cube, image = torch.randn(3, 3, 4), torch.randn(1, 4, 7, 7)
    mask = torch.ones(5, 6, dtype=torch.bool).tril(2)
    return {
        "promotion": (_promotion, (x, n, n > 1)),
        "division": (_division, (x, n)),
        "activations": (_activations, (torch.randn(2, 3, 4),)),
        "reductions": (_reductions, (cube, n.to(torch.int32))),
        "indexing": (_indexing, (cube, torch.tensor([0, 2, 1]))),
        "shapes": (_shapes, (cube,)),
        "images": (_images, (image,)),
        "attention": (_attention, (torch.randn(2, 4, 5, 8), torch.randn(2, 4, 6, 8), mask)),
    }


CASES = _cases()


@pytest.mark.parametrize("family", CASES)
def test_family(family: str) -> None:
    function, inputs = CASES[family]
    assert_matches(load(Function(function).eval(), example_inputs=inputs))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)])
def test_half_precision(dtype: torch.dtype, tolerance: float) -> None:
    """The tolerance is two roundings of the dtype."""
    torch.manual_seed(0)
    inputs = (torch.randn(4, 8, dtype=dtype), torch.randn(8, 5, dtype=dtype))
    assert_matches(load(Function(_half).eval(), example_inputs=inputs), tolerance=tolerance)


CONVOLUTIONS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "one dimension, dilated": (nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), (1, 4, 11)),
    "padding by name": (nn.Conv2d(3, 5, (4, 2), padding="same", bias=False), (2, 3, 7, 6)),
    "reflected border": (nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"), (1, 3, 6, 6)),
    "without batch": (nn.Conv2d(3, 5, 3), (3, 6, 6)),
    "three dimensions": (nn.Conv3d(2, 3, 2), (1, 2, 4, 5, 4)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2), (1, 4, 5, 4)),
    "transposed, one dimension": (nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, dilation=2), (1, 4, 5)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str) -> None:
    module, shape = CONVOLUTIONS[name]
    assert_matches(load(module.eval(), example_inputs=torch.randn(*shape)))


RECURRENT: dict[str, nn.Module] = {
    "lstm": nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True),
    "gru": nn.GRU(3, 4, num_layers=2),
    "rnn": nn.RNN(3, 4, nonlinearity="relu"),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent(name: str) -> None:
    assert_matches(load(RECURRENT[name].eval(), example_inputs=torch.randn(2, 3, 3)))


def test_transformer_layers() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
    assert_matches(
        load(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval(), example_inputs=torch.randn(1, 5, 16))
    )


def test_indices_out_of_range_stay_inside_the_table() -> None:
    """PyTorch raises; a compiled library must not read beyond the weights."""
    import numpy as np

    from tests.frontend.torch_execution import execute

    model = load(nn.Embedding(4, 2).eval(), example_inputs=torch.tensor([0, 1]))
    table = model.reference([np.array([0, 3])])[0]  # type: ignore[misc]
    np.testing.assert_array_equal(execute(model, [np.array([-5, 99])])[0], table)
