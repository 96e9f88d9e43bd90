"""What the PyTorch frontend refuses, each with one line that says why and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.load import load


class Function(nn.Module):
    """A module whose forward is a plain function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("state", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def counting(self: Function, x: torch.Tensor) -> torch.Tensor:
    self.state += 1
    return x + self.state


def overwriting(self: Function, x: torch.Tensor) -> torch.Tensor:
    x.mul_(2)
    return x


UNSUPPORTED = [
    (lambda self, x: x + torch.rand(3), "draws random numbers in aten.rand"),
    (lambda self, x: nn.functional.dropout(x, 0.5, training=True), "draws random numbers in aten.dropout"),
    (counting, "writes to state, but a compiled model keeps no state"),
    (overwriting, "writes to x"),
    (lambda self, x: x if x.sum() > 0 else -x, "torch.export cannot trace Function"),
    (lambda self, x: torch.complex(x, x).abs(), "aten.complex.default"),
    (lambda self, x: (x, 3), "output 1 of the model is 3, no tensor"),
    (lambda self, x: None, "returns no tensor"),
    (lambda self, x: x[x > 0], "nonzero|boolean mask"),
    (
        lambda self, x: nn.functional.max_pool2d(x.expand(1, 3, 3), 2, return_indices=True)[1],
        "result 1 of aten.max_pool2d",
    ),
]


@pytest.mark.parametrize(("function", "message"), UNSUPPORTED)
def test_unsupported(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        load(Function(function).eval(), example_inputs=torch.randn(3))
    assert "\n" not in str(caught.value)


def test_all_unsupported_operators_are_named_at_once() -> None:
    module = Function(lambda self, x: torch.cummax(torch.special.i0(x), 0)[0] + torch.special.bessel_j0(x)).eval()
    with pytest.raises(UnsupportedModelError) as caught:
        load(module, example_inputs=torch.randn(3))
    for part in ("aten.cummax.default (node cummax)", "aten.i0.default", "aten.special_bessel_j0.default", "ONNX"):
        assert part in str(caught.value)


def test_examples_are_needed_and_must_fit() -> None:
    module = nn.Linear(4, 2).eval()
    with pytest.raises(InvalidModelError, match="Linear needs example_inputs"):
        load(module)
    with pytest.raises(InvalidModelError, match="Linear fails on its example inputs"):
        load(module, example_inputs=torch.randn(1, 5))
    with pytest.raises(InvalidModelError, match=r"goes with an nn\.Module only"):
        load(torch.export.export(module, (torch.randn(1, 4),)), example_inputs=torch.randn(1, 4))
    with pytest.raises(InvalidModelError, match="shapes names pixels, but the inputs are input"):
        load(module, example_inputs=torch.randn(1, 4), shapes={"pixels": (1, 4)})
    with pytest.raises(InvalidModelError, match=r"has shape \(1, 4\), not \(2, 4\)"):
        load(module, example_inputs=torch.randn(1, 4), shapes={"input": (2, 4)})
    with pytest.raises(InvalidModelError, match="name must be a C identifier"):
        load(module, example_inputs=torch.randn(1, 4), name="a-b")


def test_dtypes_that_the_compiler_does_not_have() -> None:
    with pytest.raises(UnsupportedModelError, match=r"dtypes .* in input \(torch.complex64\)"):
        load(nn.Flatten().eval(), example_inputs=torch.zeros(1, 2, dtype=torch.complex64))


def test_a_refusal_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnsupportedModelError):
        load(Function(UNSUPPORTED[-1][0]).eval(), example_inputs=torch.randn(3))
    assert capfd.readouterr() == ("", "")


def test_weights_without_values_are_refused() -> None:
    with pytest.raises(InvalidModelError, match="meta device"):
        load(nn.Linear(4, 2, device="meta").eval(), example_inputs=torch.randn(1, 4))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_weights_that_are_no_numbers(kind: torch.dtype) -> None:
    module = nn.Linear(3, 2).to(kind)
    module.bias.data[1] = float("nan")
    with pytest.raises(InvalidModelError, match="1 weight holds NaN: 'bias'"):
        load(module, example_inputs=torch.zeros(1, 3, dtype=kind))


def test_a_constant_that_forward_itself_writes_down_may_be_no_number() -> None:
    model = load(
        Function(lambda self, x: torch.where(x > 0, x, torch.tensor([torch.nan] * 3))), example_inputs=torch.ones(3)
    )
    assert model.inputs[0].shape == (3,)
