"""`graphs()`: a hypothesis strategy for random ONNX models with inputs and the tolerance of each output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper

from tests.fuzz.builder import ONNX_TYPE, GraphBuilder
from tests.fuzz.choices import Choices, DrawnChoices, RandomChoices
from tests.fuzz.operators import ALL
from tests.fuzz.operators.operator import Operator
from tests.fuzz.values import Value

# Each changed how operators are written: in 13 the axes of ReduceSum became an input, in 18 those of other reductions.
OPSETS = (18, 13, 17, 21, 22, 23)
# ONNX's intermediate representation that came with them, as old exporters still write it.
IR_VERSION = {13: 7, 17: 8, 18: 8, 21: 10, 22: 10, 23: 11}


@dataclass(frozen=True)
class Case:
    """One model, its inputs, and how far each output may be off.

    Attributes:
        tolerances: absolute, by output name; 0 asks for equality.
    """

    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    tolerances: dict[str, float]

    def __repr__(self) -> str:
        operators = ", ".join(node.op_type for node in self.model.graph.node)
        return f"Case(opset {self.model.opset_import[0].version}: {operators})"


def _information(value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value.name, ONNX_TYPE[value.dtype], value.shape)


def _outputs(graph: GraphBuilder, computed: Sequence[Value]) -> list[Value]:
    """Those nothing reads, less a dead one now and then, and perhaps one that is also read inside."""
    read = {name for node in graph.nodes for name in node.input}
    ends = [value for value in computed if value.name not in read]
    inner = [value for value in computed if value.name in read]
    if len(ends) > 1 and not graph.integer(0, 4):
        ends.pop(0)
    if inner and graph.integer(0, 2) == 2:
        ends.append(graph.choose(inner))
    return ends


def build_case(
    choices: Choices, operators: Sequence[Operator] = ALL, most_nodes: int = 12, dtypes: Sequence[str] = ()
) -> Case:
    """A model of up to `most_nodes` operators (a few of which bring a helper node along).

    Args:
        dtypes: of floating-point inputs; by default float32 mostly, float16 and float64 now and then.
    """
    oldest = min(operator.since for operator in operators)
    opset = choices.choose([opset for opset in OPSETS if opset >= oldest])
    float_dtype = choices.choose(dtypes or ("float32",) * 8 + ("float64", "float16"))
    graph = GraphBuilder(choices, opset, np.random.default_rng(choices.integer(0, 2**16)), float_dtype)
    available = [operator for operator in operators if operator.since <= opset]
    for _ in range(choices.integer(1, most_nodes)):
        choices.choose(available).build(graph)
    computed = [value for value in graph.values if value.name not in graph.inputs]
    outputs = _outputs(graph, computed) + graph.unread
    inputs = {value.name: value for value in graph.values if value.name in graph.inputs}
    for name, array in graph.inputs.items():  # those that their operator kept for itself
        inputs.setdefault(name, Value(name, array.shape, array.dtype.name, 0, 0))
    proto = helper.make_graph(
        graph.nodes,
        "fuzz",
        [_information(value) for value in inputs.values()],
        [_information(value) for value in outputs],
        graph.initializers,
    )
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION[opset], producer_name="fuzz"
    )
    onnx.checker.check_model(model, full_check=True)
    return Case(model, {name: graph.inputs[name] for name in inputs}, {value.name: value.error for value in outputs})


@st.composite
def graphs(
    draw: st.DrawFn, operators: Sequence[Operator] = ALL, most_nodes: int = 12, dtypes: Sequence[str] = ()
) -> Case:
    """`build_case` as a strategy: failing graphs shrink."""
    return build_case(DrawnChoices(draw), operators, most_nodes, dtypes)


def random_case(seed: int, index: int, operators: Sequence[Operator] = ALL, most_nodes: int = 12) -> Case:
    """Graph number `index` of the endless sequence that `seed` names."""
    return build_case(RandomChoices(np.random.default_rng([seed, index])), operators, most_nodes)
