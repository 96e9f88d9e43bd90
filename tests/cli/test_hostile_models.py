"""Hostile ONNX files cost a process of their own one line, seconds and little memory, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import FunctionProto, ModelProto, TensorProto, helper

PEAK_MEGABYTES = 512
SECONDS = 20
# What the child's own file says of its peak: the figures of `getrusage` begin with those of the parent.
PROGRAM = """
import sys
from pathlib import Path
from edgecompile.cli.program import run_program
status = run_program(sys.argv[1:]).status
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(status, int(peak.split()[1]) // 1024, *(name for name in ("tvm", "torch") if name in sys.modules))
"""


def network(*nodes: tuple[str, list[str], str], shape: list[int] | None = None, **weights: list[int]) -> ModelProto:
    """A graph from `x` to `y`, of (operator, inputs, output)."""
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, [output]) for operator, inputs, output in nodes],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape or [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor(name, TensorProto.INT64, [len(data)], data) for name, data in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


def external(folder: Path, location: str, **entries: str) -> ModelProto:
    """y = x + w, where w lies in `location`; the folder holds w.bin of 12 bytes."""
    (folder / "w.bin").write_bytes(bytes(12))
    proto = network(("Add", ["x", "w"], "y"))
    tensor = proto.graph.initializer.add(
        name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL
    )
    for key, text in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=text)
    return proto


def weights_that_are_no_numbers(_: Path) -> ModelProto:
    proto = network(("Add", ["x", "w"], "y"))
    proto.graph.initializer.append(helper.make_tensor("w", TensorProto.FLOAT, [3], [1, float("nan"), 2]))
    return proto


def symbolic_link(folder: Path) -> ModelProto:
    (folder / "link.bin").symlink_to(folder / "w.bin")
    return external(folder, "link.bin")


def hard_link(folder: Path) -> ModelProto:
    proto = external(folder, "link.bin")
    os.link(folder / "w.bin", folder / "link.bin")
    return proto


def calls(depth: int, *, cyclic: bool) -> ModelProto:
    """Functions f0 -> f1 -> ...; the last one calls the first, or Relu."""

    def function(index: int) -> FunctionProto:
        last = index == depth - 1
        callee = "Relu" if last and not cyclic else f"f{(index + 1) % depth}"
        node = helper.make_node(callee, ["a"], ["b"], domain="" if callee == "Relu" else "mine")
        return helper.make_function("mine", f"f{index}", ["a"], ["b"], [node], imports)

    imports = [helper.make_opsetid("", 21), helper.make_opsetid("mine", 1)]
    proto = network()
    proto.graph.node.append(helper.make_node("f0", ["x"], ["y"], domain="mine"))
    proto.opset_import.append(imports[1])
    proto.functions.extend(function(index) for index in range(depth))
    return proto


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a serialized message."""
    length, encoded = len(content), bytearray([number << 3 | 2])
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(encoded) + bytes([length]) + content


def with_graph(graph: bytes) -> bytes:
    return b"\x08\x0a" + field(7, graph) + field(8, b"\x10\x15")  # IR version 10, opset 21


def million_nodes(_: Path) -> bytes:
    return with_graph(field(1, field(1, b"x") + field(2, b"y") + field(4, b"Relu")) * 1_000_000)


def node_of_million_inputs(_: Path) -> bytes:
    return with_graph(field(1, field(1, b"x") * 1_000_000 + field(2, b"y") + field(4, b"Sum")))


def subgraphs(_: Path) -> bytes:
    """3,000 conditionals within each other: a parser or a walk that recurses would overflow."""
    graph = b""
    for _level in range(3000):
        branch = field(1, b"then_branch") + field(6, graph) + b"\xa0\x01\x05"
        graph = field(1, field(1, b"c") + field(2, b"y") + field(4, b"If") + field(5, branch))
    return with_graph(graph)


# Each with a part of its message, and whether the type inference, for which TVM is loaded, must be asked.
HOSTILE: dict[str, tuple[Callable[[Path], ModelProto | bytes], str, bool]] = {
    "parent folder": (lambda folder: external(folder, "../w.bin"), "'../w.bin', which leaves it", False),
    "absolute path": (lambda folder: external(folder, "/etc/passwd"), "'/etc/passwd', which leaves it", False),
    "symbolic link": (symbolic_link, "the symbolic link 'link.bin'", False),
    "hard link": (hard_link, "'link.bin', which has 2 hard links", False),
    "negative offset": (lambda folder: external(folder, "w.bin", offset="-4"), "the offset '-4'", False),
    "oversized offset": (lambda folder: external(folder, "w.bin", offset=str(2**63 - 1)), "too short", False),
    "negative length": (lambda folder: external(folder, "w.bin", length="-12"), "the length '-12'", False),
    "oversized length": (lambda folder: external(folder, "w.bin", length=str(2**62)), "a length of 4611686018", False),
    "cyclic functions": (lambda _: calls(2, cyclic=True), "mine.f0 calling itself", False),
    "deep functions": (lambda _: calls(20_000, cyclic=False), "functions within each other", False),
    "deep subgraphs": (subgraphs, "subgraphs within each other", False),
    "million nodes": (million_nodes, "at most 200000 nodes", False),
    "million inputs of a node": (node_of_million_inputs, "at most 800000 names", False),
    "dimension of 2^31": (lambda _: network(("Relu", ["x"], "y"), shape=[2**31]), "found 2147483648", False),
    "too many elements": (lambda _: network(("Relu", ["x"], "y"), shape=[2**20] * 3), "elements were expected", False),
    "inner dimension of 2^40": (lambda _: network(("Pad", ["x", "p"], "y"), p=[2**40, 0]), "1099511627779", True),
    "not a number": (weights_that_are_no_numbers, "1 weight holds NaN: 'w'", False),
    "cut off": (lambda _: network(("Relu", ["x"], "y")).SerializeToString()[:-5], "is not one or is cut off", False),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_is_refused_cheaply(name: str, tmp_path: Path, repository: Path) -> None:
    make, message, loads_compiler = HOSTILE[name]
    folder = tmp_path / "model"
    folder.mkdir()
    made = make(folder)
    (folder / "m.onnx").write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "compile", str(folder / "m.onnx"), "-o", str(tmp_path / "out/net")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    seconds = time.monotonic() - start
    status, megabytes, *imported = done.stdout.split()
    assert status == "2"
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert "bug" not in line
    assert not (tmp_path / "out").exists()
    assert int(megabytes) < PEAK_MEGABYTES
    assert seconds < SECONDS
    assert bool(imported) == loads_compiler
