"""What is no ONNX model, or not a safe one, is refused with one typed line."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import limits, load_onnx, wire
from edgecompile.settings import LIMITS
from tests.frontend.onnx.graphs import model, relu, value


def one_line(error: pytest.ExceptionInfo[Exception]) -> bool:
    return len(str(error.value).splitlines()) == 1


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match="cannot be read") as error:
        load_onnx(tmp_path / "none.onnx")
    assert one_line(error)


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match="found the folder"):
        load_onnx(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    with pytest.raises(InvalidModelError, match="empty file"):
        load_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize("data", [b"garbage", b"\x08\x07", b"{}", b"\xff" * 64])
def test_not_a_model(data: bytes) -> None:
    with pytest.raises(InvalidModelError, match="an ONNX model was needed") as error:
        load_onnx(data)
    assert one_line(error)


def test_every_truncation_is_refused_or_loads() -> None:
    data = relu().SerializeToString()
    for length in range(0, len(data), 7):
        with pytest.raises((InvalidModelError, UnsupportedModelError)) as error:
            load_onnx(data[:length])
        assert one_line(error)


@pytest.mark.parametrize(("opset", "advice"), [(6, "export with a newer opset"), (999, "install a newer onnx")])
def test_unknown_opset(opset: int, advice: str) -> None:
    proto = relu()
    proto.opset_import[0].version = opset
    with pytest.raises(UnsupportedModelError, match=advice):
        load_onnx(proto)


def test_undefined_value() -> None:
    proto = model([helper.make_node("Relu", ["nothing"], ["y"])], [value("x")], [value("y")])
    with pytest.raises(InvalidModelError, match="nothing"):
        load_onnx(proto)


def test_cyclic_values() -> None:
    nodes = [helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    with pytest.raises(InvalidModelError, match="specification"):
        load_onnx(model(nodes, [value("x")], [value("b")]))


def test_value_defined_twice() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])]
    with pytest.raises(InvalidModelError, match="y"):
        load_onnx(model(nodes, [value("x")], [value("y")]))


def test_initializer_defined_twice() -> None:
    proto = model([helper.make_node("Add", ["x", "w"], ["y"])], [value("x")], [value("y")], weights={"w": np.ones(3)})
    proto.graph.initializer.append(proto.graph.initializer[0])
    with pytest.raises(InvalidModelError, match="'w' twice"):
        load_onnx(proto)


@pytest.mark.parametrize("dim", [2**31, 2**62, -5])
def test_dimension_beyond_the_limit(dim: int) -> None:
    proto = model([helper.make_node("Relu", ["x"], ["y"])], [value("x", [dim])], [value("y", [dim])])
    with pytest.raises(InvalidModelError, match="tensor 'x'"):
        load_onnx(proto)


def test_weights_larger_than_their_data() -> None:
    proto = model([helper.make_node("Add", ["x", "w"], ["y"])], [value("x")], [value("y")])
    proto.graph.initializer.append(TensorProto(name="w", data_type=1, dims=[30000, 30000], raw_data=b"\0" * 12))
    with pytest.raises(InvalidModelError, match="tensor 'w'"):
        load_onnx(proto)


def test_constant_of_enormous_shape() -> None:
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    proto = model(nodes, [value("x")], [value("y", None)], weights={"s": np.array([2**40], np.int64)})
    with pytest.raises(InvalidModelError, match="1099511627776"):
        load_onnx(proto)


def test_enormous_intermediate() -> None:
    proto = model(
        [helper.make_node("MatMul", ["x", "z"], ["a"]), helper.make_node("ReduceSum", ["a"], ["y"])],
        [value("x", [2**20, 1]), value("z", [1, 2**20])],
        [value("y", [1, 1])],
    )
    with pytest.raises(InvalidModelError, match=r"tensor 'a'.*1099511627776"):
        load_onnx(proto)


@pytest.mark.parametrize("what", ["names", "attributes", "tensors"])
def test_too_many_parts(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(wire, "LIMITS", dataclasses.replace(LIMITS, nodes=4))
    proto = relu()
    node = proto.graph.node[0]
    for index in range(20):
        if what == "names":
            node.input.append("x")
        elif what == "attributes":
            node.attribute.append(helper.make_attribute(f"a{index}", 1))
        else:
            proto.graph.value_info.append(value(f"v{index}"))
    with pytest.raises(InvalidModelError, match=rf"at most (4|16) {what} were expected"):
        load_onnx(proto.SerializeToString())


def test_string_input() -> None:
    proto = model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", [2], TensorProto.STRING)],
        [value("y", [2], TensorProto.STRING)],
    )
    with pytest.raises(UnsupportedModelError, match=r"input 'x'.*found string"):
        load_onnx(proto)


def test_sequence_input() -> None:
    sequence = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [2])
    proto = model([helper.make_node("SequenceLength", ["x"], ["y"])], [sequence], [value("y", [], TensorProto.INT64)])
    with pytest.raises(UnsupportedModelError, match="found a sequence_type"):
        load_onnx(proto)


def test_not_a_number_in_the_weights_is_refused() -> None:
    weights = {"w": np.array([1, np.nan, 3], np.float32)}
    proto = model([helper.make_node("Add", ["x", "w"], ["y"])], [value("x")], [value("y")], weights=weights)
    with pytest.raises(InvalidModelError, match="1 weight holds NaN: 'w'"):
        load_onnx(proto)


def _function(name: str, calls: list[str]) -> onnx.FunctionProto:
    names = ["a", *[f"v{index}" for index in range(len(calls) - 1)], "b"]
    nodes = [
        helper.make_node(call, [names[index]], [names[index + 1]], domain="" if call == "Relu" else "mine")
        for index, call in enumerate(calls)
    ]
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, ["a"], ["b"], nodes, imports)


def _calling(name: str, functions: list[onnx.FunctionProto]) -> onnx.ModelProto:
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("mine", 1)]
    node = helper.make_node(name, ["x"], ["y"], domain="mine")
    return model([node], [value("x")], [value("y")], opset_imports=imports, functions=functions)


def test_function_that_calls_itself() -> None:
    functions = [_function("f", ["g"]), _function("g", ["f"])]
    with pytest.raises(InvalidModelError, match="calling itself"):
        load_onnx(_calling("f", functions))


def test_functions_too_deep() -> None:
    count = LIMITS.function_depth + 2
    functions = [_function(f"f{i}", [f"f{i + 1}"]) for i in range(count)] + [_function(f"f{count}", ["Relu"])]
    with pytest.raises(InvalidModelError, match="within each other"):
        load_onnx(_calling("f0", functions))


def test_functions_that_expand_to_billions_of_nodes() -> None:
    functions = [_function(f"f{i}", [f"f{i + 1}"] * 10) for i in range(12)] + [_function("f12", ["Relu"])]
    with pytest.raises(InvalidModelError, match="functions expanded"):
        load_onnx(_calling("f0", functions))


def test_subgraphs_too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIMITS", dataclasses.replace(LIMITS, subgraph_depth=4))  # protobuf ends near 32 itself
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "leaf", [], [value("y")])
    for level in range(6):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph.__class__(), name=f"if{level}")
        graph = helper.make_graph([node], f"g{level}", [], [value("y")])
    proto = model(graph.node, [value("x"), value("c", [], TensorProto.BOOL)], [value("y")])
    with pytest.raises(InvalidModelError, match="subgraphs within each other"):
        load_onnx(proto)


MEASURE = """
import sys, time
from edgecompile.errors import InvalidModelError
from edgecompile.frontend.onnx import limits, load_onnx, wire
start = time.monotonic()
try:
    load_onnx(sys.argv[1])
except InvalidModelError as error:
    print(error)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss has the parent's
print(int(peak.split()[1]) // 1024, round(time.monotonic() - start))
"""


def test_a_million_nodes_are_refused_cheaply(tmp_path: Path) -> None:
    graph = relu().graph
    node = graph.node[0].SerializeToString()
    head = relu()
    del head.graph.node[:]
    rest = head.graph.SerializeToString() + (b"\x0a" + bytes([len(node)]) + node) * 1_000_000  # field 1: nodes
    del head.graph.input[:], head.graph.output[:]
    head.ClearField("graph")
    length = len(rest)
    encoded = bytearray()
    while length:
        encoded.append((length & 0x7F) | (0x80 if length > 0x7F else 0))
        length >>= 7
    (tmp_path / "m.onnx").write_bytes(head.SerializeToString() + b"\x3a" + bytes(encoded) + rest)  # field 7: graph
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "m.onnx")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    message, figures = done.stdout.splitlines()
    megabytes, seconds = map(int, figures.split())
    assert "at most 200000 nodes" in message
    assert megabytes < 512
    assert seconds < 20
