"""What ONNX operators, as imported, let go: conv(x) -> operator -> conv, of an unknown batch where that can be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.rewrite import kept_without, remove
from edgecompile.frontend.model import Model
from edgecompile.frontend.onnx import load_onnx
from tests.compress.prune.zeros import with_zeros
from tests.relax_models import run_virtual_machine

CHANNELS = 8


class Case(NamedTuple):
    """A node that reads "a" [n, 8, 6, 6], and makes an image of as many channels as `outputs`."""

    operator: str
    operands: Mapping[str, np.ndarray | Sequence[float]] = {}
    attributes: Mapping[str, Any] = {}
    outputs: int = CHANNELS

    def __str__(self) -> str:
        return "_".join([self.operator, *(str(value) for value in self.attributes.values() if isinstance(value, str))])


def positive(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 1.5, shape).astype(np.float32)


NORM = {name: positive(CHANNELS) for name in ("scale", "bias", "mean", "variance")}
SIZES = {"roi": np.zeros(0, np.float32), "scales": np.array([1, 1, 2, 2], np.float32)}
PRUNABLE = (
    Case("HardSwish"),
    Case("HardSigmoid"),
    Case("Clip", {"low": np.float32(0.0), "high": np.float32(6.0)}),
    Case("Elu"),
    Case("Mish"),
    Case("Gelu"),
    Case("LeakyRelu"),
    Case("PRelu", {"slope": positive(CHANNELS, 1, 1)}),
    Case("Mul", {"factor": positive(1, CHANNELS, 1, 1)}),
    Case("Pow", {"exponent": np.float32(2)}),
    Case("Dropout"),
    Case("BatchNormalization", NORM),
    Case("InstanceNormalization", {name: NORM[name] for name in ("scale", "bias")}),
    Case("AveragePool", {}, {"kernel_shape": [2, 2], "strides": [2, 2]}),
    Case("MaxPool", {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    Case("Pad", {"pads": np.array([0, 0, 1, 2, 0, 0, 2, 1])}),
    Case("Resize", SIZES, {"mode": "nearest"}),
    Case("Resize", SIZES, {"mode": "linear"}),
    Case("Upsample", {"scales": SIZES["scales"]}, {"mode": "nearest"}),
    Case("Slice", {"starts": np.array([1]), "ends": np.array([5]), "axes": np.array([2])}),
    Case("Expand", {"shape": np.array([1, CHANNELS, 1, 1])}),
    Case("Conv", {"weight": positive(CHANNELS, 1, 3, 3)}, {"group": CHANNELS}),
    Case("ConvTranspose", {"weight": positive(CHANNELS, 1, 2, 2)}, {"group": CHANNELS}),
    Case("Einsum", {}, {"equation": "nchw->nchw"}),
    Case("ReduceMean", {"axes": np.array([2, 3])}, {"keepdims": 1}),
    Case("GlobalMaxPool"),
    Case("GlobalAveragePool"),
)
"""All of the eight channels can go."""

REFUSED = (
    (Case("Softmax", {}, {"axis": 1}), "runs along it"),
    (Case("LayerNormalization", {"scale": positive(CHANNELS, 6, 6)}, {"axis": 1}), "runs over it|normalizes over it"),
    (Case("LRN", {}, {"size": 3}), "does not know the function 'local_square_sum"),
    (Case("CumSum", {"axis": np.int64(1)}), "runs along it"),
    (Case("QuantizeLinear", {"scale": np.float32(0.1), "zero": np.int8(0)}), "prune before quantizing"),
)
"""None can, and why."""

STATIC = ("Resize", "Upsample", "LRN")
"""What is imported for known shapes only."""


def load(cases: Sequence[Case], quantized_weight: bool = False) -> Model:
    """conv -> first -> conv -> second -> ... -> conv."""
    generator = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {}
    channels, value = 3, "x"
    for number, case in enumerate([*cases, None]):
        weight = (generator.standard_normal((CHANNELS, channels, 1, 1)) / channels**0.5).astype(np.float32)
        constants[f"w{number}"] = np.round(weight).astype(np.int8) if quantized_weight else weight
        weight_name = f"w{number}"
        if quantized_weight:
            constants["s"] = np.full(CHANNELS, 0.1, np.float32)
            nodes.append(helper.make_node("DequantizeLinear", [weight_name, "s"], [f"d{number}"], axis=0))
            weight_name = f"d{number}"
        nodes.append(helper.make_node("Conv", [value, weight_name], [f"conv{number}"], name=f"conv{number}"))
        value = f"conv{number}"
        if case is None:
            break
        operands = [f"{name}{number}" for name in case.operands]
        constants |= {f"{name}{number}": np.asarray(array) for name, array in case.operands.items()}
        nodes.append(helper.make_node(case.operator, [value, *operands], [f"y{number}"], **case.attributes))
        value, channels = f"y{number}", case.outputs
        if case.operator == "QuantizeLinear":
            nodes.append(helper.make_node("DequantizeLinear", [value, *operands], [f"z{number}"]))
            value = f"z{number}"
    batch = 3 if any(case.operator in STATIC for case in cases) else "n"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 6, 6])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = 9 if any(case.operator == "Upsample" for case in cases) else 21
    return load_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10))


def groups_of(*cases: Case, **options: bool) -> Groups:
    return find_groups(load(cases, **options).module)


@pytest.mark.parametrize("case", PRUNABLE, ids=str)
def test_channels_pass(case: Case) -> None:
    found = groups_of(case)
    assert [group.channels for group in found] == [CHANNELS]
    assert [fixed.reason for fixed in found.fixed if fixed.axis.layer == found.groups[0].name] == []


@pytest.mark.parametrize(("case", "reason"), REFUSED, ids=str)
def test_channels_stay(case: Case, reason: str) -> None:
    found = groups_of(case)
    assert len(found) == 0
    assert re.search(reason, found.fixed[0].reason)


def test_blocks_of_channels_become_pixels() -> None:
    """Four channels go at once; along the channels of each place in DCR order, along places of each in CRD."""
    for mode in ("DCR", "CRD"):
        case = Case("DepthToSpace", {}, {"blocksize": 2, "mode": mode}, outputs=2)
        [group] = groups_of(case)
        assert group.channels == 2
        assert [member.indices.shape[1] for member in group.members] == [4, 1]
        first = [0, 2, 4, 6] if mode == "DCR" else [0, 1, 2, 3]
        assert group.members[0].indices[0].tolist() == first


def test_places_become_channels() -> None:
    [group] = groups_of(Case("SpaceToDepth", {}, {"blocksize": 2}, outputs=4 * CHANNELS))
    assert group.channels == CHANNELS
    assert [member.indices.shape[1] for member in group.members] == [1, 4]


def test_channels_are_picked() -> None:
    """Those that are read twice go out of both places, those that are not read are a group of their own."""
    model = load([Case("Gather", {"indices": np.array([6, -7, 3, 6, 1])}, {"axis": 1}, 5)])
    groups = find_groups(model.module)
    assert [[member.indices.tolist() for member in group.members] for group in groups] == [
        [[[0], [2], [4], [5], [7]]],
        [[[1], [6]], [[1, 4], [0, 3]]],
    ]
    check(model, {group.name: np.array([0]) for group in groups})


def test_groups_of_a_normalization_go_as_a_whole() -> None:
    scale = {"scale": positive(CHANNELS), "bias": positive(CHANNELS)}
    [group] = groups_of(Case("GroupNormalization", scale, {"num_groups": 4}))
    assert group.channels == 4


def test_quantized_weights_stay() -> None:
    found = groups_of(Case("Relu"), quantized_weight=True)
    assert len(found) == 0
    assert {fixed.reason for fixed in found.fixed} == {"it is quantized: prune before quantizing"}


def test_all_in_one_network() -> None:
    """All that read more than one tensor, or move numbers."""
    cases = [case for case in PRUNABLE if (case.operands or case.attributes) and case.operator != "Upsample"]
    model = load(cases)
    groups = find_groups(model.module)
    assert [group.channels for group in groups] == [CHANNELS] * len(cases)
    generator = np.random.default_rng(2)
    check(model, {group.name: generator.permutation(CHANNELS)[:3] for group in groups})


def check(model: Model, removed: Mapping[str, np.ndarray]) -> None:
    """The outputs without some channels are those with zeros in their places."""
    groups = find_groups(model.module)
    x = np.random.default_rng(3).standard_normal((3, 3, 6, 6)).astype(np.float32)
    [expected] = run_virtual_machine(with_zeros(model.module, groups, kept_without(groups, removed)), x)
    [found] = run_virtual_machine(remove(model.module, groups, removed), x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
