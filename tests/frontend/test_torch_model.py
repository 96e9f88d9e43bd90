"""What a `Model` made from PyTorch looks like: names, specs, weights, samples, reference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
import tvm
from torch import nn
from tvm import relax

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.load import load
from edgecompile.frontend.model import Model
from tests.frontend.torch_execution import assert_matches


def operators(model: Model) -> list[str]:
    """The Relax operators in the order of their bindings."""
    found: list[str] = []

    def visit(node: object) -> None:
        if isinstance(node, tvm.ir.Call) and isinstance(node.op, tvm.ir.Op):
            found.append(node.op.name)

    relax.analysis.post_order_visit(model.module["main"], visit)
    return found


def constants(model: Model) -> list[tvm.runtime.Tensor]:
    """Each distinct constant of the module, by identity."""
    found: list[tvm.runtime.Tensor] = []

    def visit(node: object) -> None:
        if isinstance(node, tvm.ir.GenericConst) and not any(node.value.same_as(other) for other in found):
            found.append(node.value)

    relax.analysis.post_order_visit(model.module["main"], visit)
    return found


class Nested(nn.Module):
    """Several inputs in containers, several outputs in containers, one of them None."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Linear(4, 4)

    def forward(self, image, meta, *, bias=None, factor=2):  # noqa: ANN001, ANN201
        hidden = self.scale(image) + meta["size"] * factor
        return {"logits": hidden + bias, "parts": (meta["boxes"][0], None, meta["boxes"][1] - 1)}


def nested_inputs() -> tuple[tuple[object, ...], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    meta = {"size": torch.randn(2, 4), "boxes": (torch.randn(3), torch.randn(5))}
    return (torch.randn(2, 4), meta), {"bias": torch.randn(4)}


def test_nested_inputs_and_outputs_get_dotted_names() -> None:
    args, kwargs = nested_inputs()
    model = load(torch.export.export(Nested().eval(), args, kwargs))
    assert [str(spec) for spec in model.inputs] == [
        "image: float32[2, 4]",
        "meta.size: float32[2, 4]",
        "meta.boxes.0: float32[3]",
        "meta.boxes.1: float32[5]",
        "bias: float32[4]",
    ]
    assert [spec.name for spec in model.outputs] == ["logits", "parts.0", "parts.2"]
    assert list(model.sample_inputs) == [spec.name for spec in model.inputs]
    assert (model.source, model.opset, model.reference_name) == ("torch", None, "torch 2.13.0")
    assert_matches(model)


class Pair(NamedTuple):
    low: torch.Tensor
    high: torch.Tensor


class Outputs(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> object:
        y = x + 1
        return {"one": y, "tuple": (y, x), "list": [y, (x, y)], "named": Pair(y, x), "dict": {"a": y, "b": {"c": x}}}[
            self.kind
        ]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("one", ["output"]),
        ("tuple", ["output_0", "output_1"]),
        ("list", ["output_0", "output_1.0", "output_1.1"]),
        ("named", ["low", "high"]),
        ("dict", ["a", "b.c"]),
    ],
)
def test_output_names(kind: str, names: list[str]) -> None:
    model = load(Outputs(kind).eval(), example_inputs=torch.randn(3))
    assert [spec.name for spec in model.outputs] == names
    assert_matches(model)


def test_input_names_replace_those_of_forward() -> None:
    model = load(Outputs("one").eval(), example_inputs=(torch.randn(3),), input_names=["pixels"], name="net")
    assert [spec.name for spec in model.inputs] == ["pixels"]
    assert model.name == "net"
    with pytest.raises(InvalidModelError, match="needs 1 names, for x, and has 2"):
        load(Outputs("one").eval(), example_inputs=torch.randn(3), input_names=["a", "b"])


def test_keyword_examples_and_plain_arguments() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor, factor: int, y: torch.Tensor, mode: str = "a") -> torch.Tensor:
            return x * factor + y if mode == "a" else x

    model = load(Scaled().eval(), example_inputs={"y": torch.randn(2), "factor": 3, "x": torch.randn(2)})
    assert {spec.name for spec in model.inputs} == {"x", "y"}
    assert_matches(model)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("alias", self.embedding.weight.detach())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens)) + self.alias.sum()


def test_tied_weights_are_one_constant() -> None:
    model = load(Tied().eval(), example_inputs=torch.arange(6).reshape(2, 3))
    tables = [tensor for tensor in constants(model) if tuple(tensor.shape) == (11, 8)]
    assert len(tables) == 1
    assert_matches(model)


def test_training_later_changes_neither_model_nor_reference() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4))
    module[2].running_mean.uniform_(-1, 1)
    with pytest.warns(UserWarning, match="Sequential is in training mode"):
        model = load(module, example_inputs=torch.randn(2, 4))
    assert all(child.training for child in module.modules())
    assert model.reference is not None
    sample = [model.sample_inputs["input"]]
    before = model.reference(sample)[0]
    with torch.no_grad():
        module[0].weight.add_(1.0)
    np.testing.assert_array_equal(model.reference(sample)[0], before)
    assert_matches(model)


def test_operators_stay_high_level_and_bindings_carry_layer_names() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, bias=False)
            self.norm = nn.BatchNorm2d(8)
            self.stages = nn.Sequential(nn.SiLU(), nn.GELU())
            self.tail = nn.LayerNorm(6)
            self.head = nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.head(self.tail(self.stages(self.norm(self.conv(x))))), -1)

    model = load(Block().eval(), example_inputs=torch.randn(1, 3, 8, 8))
    assert operators(model) == [
        "relax.nn.conv2d",
        "relax.nn.batch_norm",
        "relax.nn.silu",
        "relax.nn.gelu",
        "relax.nn.layer_norm",
        "relax.permute_dims",
        "relax.matmul",
        "relax.add",
        "relax.nn.softmax",
    ]
    names = [binding.var.name for binding in model.module["main"].body.blocks[0].bindings]
    assert {"conv", "norm", "norm_batch_norm", "stages_0", "stages_1", "tail", "head_matmul", "head"} <= set(names)


class Length(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x * 2 + y[: x.shape[0]]).reshape(x.shape[0] * 3)


def test_dynamic_dimensions_keep_their_names_and_can_be_frozen() -> None:
    examples = (torch.randn(5, 3), torch.randn(5, 3))
    model = load(Length().eval(), example_inputs=examples, shapes={"x": ("batch", 3), "y": ("batch", 3)})
    assert [spec.shape for spec in model.inputs] == [("batch", 3), ("batch", 3)]
    assert not model.is_static
    rng = np.random.default_rng(0)
    assert_matches(model, [rng.normal(size=(7, 3)).astype("float32") for _ in range(2)])

    batch = torch.export.Dim("batch", min=2, max=16)
    program = torch.export.export(Length().eval(), examples, dynamic_shapes={"x": {0: batch}, "y": {0: batch}})
    frozen = load(program, shapes={"x": (4, 3)})
    assert [spec.shape for spec in (*frozen.inputs, *frozen.outputs)] == [(4, 3), (4, 3), (12,)]
    assert frozen.sample_inputs == {}
    assert_matches(frozen, [rng.normal(size=(4, 3)).astype("float32") for _ in range(2)])
    assert dict(load(program).module["main"].attrs["tir_var_upper_bound"]).popitem()[1] == 16
    with pytest.raises(InvalidModelError, match="may be 2 to 16, not 17"):
        load(program, shapes={"x": (17, 3)})
    with pytest.raises(InvalidModelError, match="fixed to 3 by the export, not 9"):
        load(program, shapes={"x": (4, 9)})


def test_a_frozen_input_becomes_a_constant() -> None:
    class Shift(nn.Module):
        def forward(self, x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
            return x + by

    examples = (torch.randn(1, 2), torch.randn(1, 2))
    model = load(Shift().eval(), example_inputs=examples, freeze={"by": np.array([[2.0, 3.0]], "float32")})
    assert [spec.name for spec in model.inputs] == ["x"]
    assert_matches(model)
    with pytest.raises(InvalidModelError, match=r"input by is float32\[1, 2\], the value float64\[2\]"):
        load(Shift().eval(), example_inputs=examples, freeze={"by": np.zeros(2)})


def test_outputs_that_are_inputs_constants_or_repeated() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.arange(3.0))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            y = x.exp()
            return x, self.table, y, y

    assert_matches(load(Plain().eval(), example_inputs=torch.randn(2)))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-12)]
)
def test_other_float_dtypes_are_kept(dtype: torch.dtype, tolerance: float) -> None:
    """The tolerances are two roundings of the dtype."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4), nn.LayerNorm(4)
    )
    model = load(layers.to(dtype).eval(), example_inputs=torch.randn(1, 3, 4, 4, dtype=dtype))
    assert model.inputs[0].dtype == model.outputs[0].dtype == str(dtype).removeprefix("torch.")
    assert_matches(model, tolerance=tolerance)


def test_a_model_without_inputs_is_refused() -> None:
    class Constant(nn.Module):
        def forward(self) -> torch.Tensor:
            return torch.ones(2)

    with pytest.raises(UnsupportedModelError, match="at least one"):
        load(Constant().eval(), example_inputs=())
