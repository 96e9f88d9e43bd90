"""The `.ec` file: what is written is read, and what was not written so is refused."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import relax, te

from edgecompile.compress.driver import compress
from edgecompile.compress.model_file import read_model, write_model
from edgecompile.compress.model_file.archive import DESCRIPTION, MODULE, TEXT_LIMITS, WEIGHTS, pack, unpack
from edgecompile.compress.model_file.description import decode
from edgecompile.compress.model_file.tensors import decode as decode_tensors
from edgecompile.compress.model_file.tensors import encode
from edgecompile.compress.model_file.write import encode_model
from edgecompile.errors import InvalidModelError, OutputError, UnsupportedModelError
from edgecompile.frontend.load import load
from edgecompile.frontend.model import Model, TensorSpec
from tests.compress.networks import network
from tests.relax_models import run_virtual_machine


@pytest.fixture(scope="module")
def data() -> bytes:
    return encode_model(network())


def read(tmp_path: Path, data: bytes) -> Model:
    path = tmp_path / "model.ec"
    path.write_bytes(data)
    return read_model(path)


def refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(InvalidModelError, match=message) as caught:
        read(tmp_path, data)
    assert "\n" not in str(caught.value)


def resealed(data: bytes, **changed: Callable[[Any], Any]) -> bytes:
    """The file with one of its documents changed, and checksums that fit: the work of an adversary."""
    contents = unpack(data, "x")
    if "module" in changed:
        document = changed["module"](json.loads(contents[MODULE]))
        contents[MODULE] = document if isinstance(document, bytes) else json.dumps(document).encode()
    if "weights" in changed:
        contents[WEIGHTS] = encode(changed["weights"](decode_tensors(contents[WEIGHTS], "x")))
    description = json.loads(contents[DESCRIPTION])
    for name in (MODULE, WEIGHTS):
        digest = hashlib.sha256(contents[name]).hexdigest()
        description["members"][name] = {"sha256": digest, "bytes": len(contents[name])}
    description = changed.get("description", lambda same: same)(description)
    description["checksum"] = "0" * 64
    text = json.dumps(description, sort_keys=True, indent=2) + "\n"
    description["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    contents[DESCRIPTION] = (json.dumps(description, sort_keys=True, indent=2) + "\n").encode()
    return pack(contents)


@pytest.mark.parametrize("batch", [2, "n"])
def test_what_is_written_is_read(batch: int | str, tmp_path: Path) -> None:
    sample = np.random.default_rng(3).standard_normal((2, 3, 6, 6)).astype(np.float32)
    model = dataclasses.replace(network(batch), sample_inputs={"image": sample}, opset=17, source="onnx")
    write_model(model, tmp_path / "a.ec")
    found = load(tmp_path / "a.ec")
    assert tvm_ffi.structural_equal(found.module, model.module)
    assert found == dataclasses.replace(model, module=found.module)
    np.testing.assert_array_equal(found.sample_inputs["image"], sample)
    assert found.reference is None
    write_model(found, tmp_path / "b.ec")
    assert (tmp_path / "a.ec").read_bytes() == (tmp_path / "b.ec").read_bytes()
    if batch == 2:
        ours, theirs = (run_virtual_machine(m.module, sample) for m in (model, found))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("rounding")
def test_the_history_is_read(tmp_path: Path) -> None:
    model = compress(network(), "int8,skip=fc+w4,group_size=2")
    write_model(model, tmp_path / "a.ec")
    found = load(tmp_path / "a.ec", name="renamed")
    assert found.history == model.history
    assert str(found).replace("renamed", model.name) == str(model)


@pytest.mark.parametrize("zoo", ["digits_resnet", "bert_tiny"])
def test_networks_of_the_zoo(zoo: str, tmp_path: Path) -> None:
    model = load(f"zoo:{zoo}")
    write_model(model, tmp_path / "a.ec")
    found = load(tmp_path / "a.ec")
    # Structural equality compares the constants too.
    assert tvm_ffi.structural_equal(found.module, model.module)
    assert found == dataclasses.replace(model, module=found.module)
    assert (found.weight_bytes, found.layers) == (model.weight_bytes, model.layers)
    assert encode_model(found) == encode_model(load(f"zoo:{zoo}"))


def test_any_zip_tool_opens_it(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == [DESCRIPTION, MODULE, WEIGHTS]
        assert archive.testzip() is None
        assert archive.read(WEIGHTS) == unpack(data, "x")[WEIGHTS]


def test_every_dtype_keeps_its_bits() -> None:
    arrays: dict[str, np.ndarray] = {
        str(dtype): np.arange(-3, 3).astype(dtype).reshape(2, 3)
        for dtype in (np.int8, np.uint8, np.int16, np.int64, np.float16, np.float32, ml_dtypes.bfloat16, np.bool_)
    }
    arrays |= {
        "scalar": np.array(np.nan, np.float32),
        "empty": np.zeros((0, 4), np.int8),
        "strided": np.arange(12, dtype=np.int32).reshape(3, 4).T,
    }
    found = decode_tensors(encode(arrays), "x")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
    with pytest.raises(UnsupportedModelError, match="complex64 cannot be written"):
        encode({"c": np.zeros(1, np.complex64)})


def test_every_flipped_byte_is_noticed(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.ec"
    ends = len(data) - 400  # the directory, and the last weights
    for position in (*range(0, ends, 31), *range(ends, len(data))):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(InvalidModelError):
            read_model(path)


@pytest.mark.parametrize("kept", [0, 1, 29, 100, 3000, -1])
def test_truncated_files(kept: int, data: bytes, tmp_path: Path) -> None:
    refused(tmp_path, data[:kept], "ends before|is damaged")


def test_files_with_more(data: bytes, tmp_path: Path) -> None:
    refused(tmp_path, data + b"\0", "is damaged")
    refused(tmp_path, b"MZ" + data, "bytes, at most|ends before|is damaged")


@pytest.mark.parametrize(
    "names",
    [
        (DESCRIPTION, MODULE),
        (DESCRIPTION, MODULE, "../../weights.safetensors"),
        (DESCRIPTION, MODULE, "/etc/weights.safetensors"),
        (MODULE, DESCRIPTION, WEIGHTS),
        (DESCRIPTION, DESCRIPTION, MODULE, WEIGHTS),
        (DESCRIPTION, MODULE, WEIGHTS, "evil.py"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_other_archives(names: tuple[str, ...], data: bytes, tmp_path: Path) -> None:
    contents = unpack(data, "x")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            archive.writestr(name, contents.get(name, b"x"))
    refused(tmp_path, buffer.getvalue(), "is damaged|ends before|bytes, at most")
    assert [path.name for path in tmp_path.iterdir()] == ["model.ec"]


def test_a_compressed_archive_is_not_expanded(data: bytes, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (DESCRIPTION, MODULE, WEIGHTS):
            archive.writestr(name, bytes(1 << 24))
    assert len(buffer.getvalue()) < 1 << 20
    refused(tmp_path, buffer.getvalue(), "ends before|is damaged|bytes, at most")


def test_huge_sizes(data: bytes, tmp_path: Path) -> None:
    claimed = bytearray(data)
    claimed[18:26] = b"\xff\xff\xff\x7f" * 2
    refused(tmp_path, bytes(claimed), f"model.json has 2147483647 bytes, at most {TEXT_LIMITS[DESCRIPTION]} are read")
    with (tmp_path / "huge.ec").open("wb") as file:
        file.truncate(1 << 32)  # sparse: it takes no space
    with pytest.raises(InvalidModelError, match="4294967296 bytes, at most"):
        read_model(tmp_path / "huge.ec")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {**d, "schema_version": 2}, "has schema version 2, this edgecompile reads version 1"),
        (lambda d: {**d, "extra": 1}, "model.json is malformed at extra"),
        (lambda d: {**d, "name": "../x"}, "malformed at name"),
        (lambda d: {**d, "source": "pickle"}, "malformed at source"),
        (lambda d: {**d, "inputs": d["inputs"] * 2}, "inputs share a name"),
        (lambda d: {**d, "inputs": []}, "1 inputs were described as 0"),
        (lambda d: {**d, "outputs": d["outputs"][:1]}, "2 outputs were described as 1"),
        (lambda d: {**d, "inputs": [{**d["inputs"][0], "shape": [9, 3, 6, 6]}]}, "has the type"),
        (lambda d: {**d, "inputs": [{**d["inputs"][0], "dtype": "int8"}]}, "has the type"),
        (lambda d: {**d, "constants": 2}, "its weights are not those that model.json names"),
        (lambda d: {**d, "constants": 10**9}, "its weights are not those|malformed"),
        (lambda d: {**d, "samples": ["image"]}, "its weights are not those"),
        (lambda d: {**d, "samples": ["other"]}, "a sample of something that is no input"),
        (lambda d: {**d, "members": {}}, "must name module.json and weights.safetensors"),
    ],
)
def test_hostile_descriptions(
    change: Callable[[dict[str, Any]], dict[str, Any]], message: str, data: bytes, tmp_path: Path
) -> None:
    refused(tmp_path, resealed(data, description=change), message)


def test_descriptions_that_are_none() -> None:
    for text in (b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"null", b'{"schema_version": true}'):
        with pytest.raises(InvalidModelError, match=r"no JSON|schema version|malformed"):
            decode(text, "x")


def test_hostile_weights(data: bytes, tmp_path: Path) -> None:
    def change(name: str, array: np.ndarray) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
        return lambda arrays: {**arrays, name: array}

    refused(tmp_path, resealed(data, weights=change("constant_0", np.zeros(3, np.float32))), "constant 0 is not among")
    refused(
        tmp_path, resealed(data, weights=change("constant_9", np.zeros(3, np.float32))), "its weights are not those"
    )
    refused(tmp_path, resealed(data, weights=lambda arrays: {}), "its weights are not those")
    contents = unpack(data, "x")
    for text in (b"", b"\xff" * 64, (1 << 40).to_bytes(8, "little") + b"{}"):
        with pytest.raises(InvalidModelError, match="the weights cannot be read"):
            decode_tensors(text, "x")
    assert set(decode_tensors(contents[WEIGHTS], "x")) == {"constant_0", "constant_1", "constant_2"}


def nodes_of(kind: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in document["nodes"] if node["type"] == kind]


def change_first(kind: str, **fields: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Sets fields of the first node of a kind, or its data as a whole."""

    def change(document: dict[str, Any]) -> dict[str, Any]:
        node = nodes_of(kind, document)[0]
        if "data" in fields:
            node["data"] = fields["data"]
        else:
            node["data"].update(fields)
        return document

    return change


def append(node: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: {**document, "nodes": [*document["nodes"], node], "root_index": len(document["nodes"])}


def deep(document: dict[str, Any]) -> dict[str, Any]:
    start = len(document["nodes"])
    chain = [{"type": "ffi.Array", "data": [start + index - 1]} for index in range(100_000)]
    return {**document, "nodes": document["nodes"] + chain, "root_index": start + len(chain) - 1}


def retype(document: dict[str, Any]) -> dict[str, Any]:
    """The mean [2, 4] says, and so does its variable, that it is as large as what it was made from, [2, 4, 6, 6]."""
    (attributes,) = [i for i, node in enumerate(document["nodes"]) if node["type"] == "relax.attrs.StatisticalAttrs"]
    calls = nodes_of("ir.Call", document)
    (mean,) = [call for call in calls if call["data"]["attrs"] == attributes]
    large, small = calls[0]["data"]["ty"], mean["data"]["ty"]
    for node in nodes_of("ir.Call", document) + nodes_of("relax.expr.DataflowVar", document):
        if node["data"]["ty"] == small:
            node["data"]["ty"] = large
    return document


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: b"{", "the module is no JSON"),
        (lambda d: b"[" * 100_000, "the module is no JSON"),
        (lambda d: [], "a list of nodes was needed"),
        (lambda d: {**d, "root_index": 10**9}, "the root is none of the nodes"),
        (lambda d: {**d, "root_index": 0}, "the module is a"),
        (lambda d: {**d, "nodes": [*d["nodes"], 3]}, "is no node"),
        (append({"type": "ir.ExternFunc", "data": {}}), "type 'ir.ExternFunc' are not read from files"),
        (append({"type": "relax.expr.ExternFunc", "data": {}}), "are not read from files"),
        (append({"type": "tirx.PrimFunc", "data": {}}), "are not read from files"),
        (append({"type": "ffi.Bytes", "data": "AAAA"}), "are not read from files"),
        (append({"type": "relax.attrs.NoSuchAttrs", "data": {}}), "are unknown"),
        (append({"type": "relax.attrs.MatmulAttrs", "data": {}}), "needs the fields out_dtype"),
        (append({"type": "relax.attrs.MatmulAttrs", "data": [1]}), "needs the fields out_dtype"),
        (append({"type": "ffi.Array", "data": [10**6]}), "must refer to nodes before it, found 1000000"),
        (append({"type": "ffi.Array", "data": [-1]}), "must refer to nodes before it, found -1"),
        (append({"type": "ffi.Array", "data": [True]}), "must refer to nodes before it, found True"),
        (append({"type": "ffi.Array", "data": ["1"]}), "must refer to nodes before it"),
        (append({"type": "ffi.Array", "data": {}}), "is no list"),
        (append({"type": "ffi.Map", "data": [1]}), "the module"),
        (deep, "at most 512 levels are read"),
        (change_first("ir.Op", data="relax.call_pure_packed"), "'relax.call_pure_packed' is not read from files"),
        (change_first("ir.Op", data="relax.vm.alloc_storage"), "is not read from files"),
        (change_first("ir.Op", data="tirx.call_extern"), "'tirx.call_extern' is not read from files"),
        (change_first("ir.Op", data="relax.no_such_operator"), "the module cannot be read"),
        (change_first("ir.Op", data="edgecompile.matmul"), "'edgecompile.matmul' is not read from files"),
        (change_first("ir.Op", data="edgecompile.quantize_rows"), "not well-formed"),
        (change_first("ir.Op", data="relax.nn.softmax"), "cannot give|cannot be read|not well-formed"),
        (change_first("ffi.Tensor", data=99), "constant 99 is not among its 3 weights"),
        (change_first("ffi.Tensor", data=-1), "there is no constant -1"),
        (change_first("ffi.Tensor", data=2**70), f"there is no constant {2**70}"),
        (change_first("ffi.Tensor", data=base64.b64encode(bytes(48)).decode()), "holds 'AAAA"),
        (change_first("ir.Call", args=0), "'args' of a node of the type ir.Call is empty"),
        (change_first("ir.Call", op=1), "a call of an operator was needed|is empty"),
        (change_first("relax.TensorType", ndim="4"), "'ndim' of a node of the type relax.TensorType holds '4'"),
        (change_first("relax.TensorType", ndim=2**80), "the module"),
        (change_first("ir.IntImm", value=1.5), "must refer to nodes before it, found 1.5"),
        (retype, "not well-formed"),
    ],
)
def test_hostile_modules(change: Callable[[dict[str, Any]], Any], message: str, data: bytes, tmp_path: Path) -> None:
    refused(tmp_path, resealed(data, module=change), message)


def test_models_that_cannot_be_written(tmp_path: Path) -> None:
    model = network()
    with pytest.raises(OutputError, match=r"an \.ec file, found the name 'a.onnx'; give model\.ec"):
        write_model(model, tmp_path / "a.onnx")
    with pytest.raises(OutputError, match="No such file"):
        write_model(model, tmp_path / "missing" / "a.ec")

    model = model_with_loops(called=True)
    with pytest.raises(UnsupportedModelError, match=r"found loops of their own for 'y' \(doubled\).*compile --recipe"):
        encode_model(model)


def test_loops_that_nothing_calls_are_left_out(tmp_path: Path) -> None:
    write_model(model_with_loops(called=False), tmp_path / "model.ec")
    module = load(tmp_path / "model.ec").module
    assert [variable.name_hint for variable in module.functions] == ["main"]


def model_with_loops(*, called: bool) -> Model:
    """x [4] -> twice x by a function of its own, or relu(x) beside that function."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType([4], "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            twice = builder.emit(
                builder.call_te(lambda t: te.compute(t.shape, lambda i: t(i) * 2), x, primfunc_name_hint="doubled"),
                name_hint="y",
            )
            y = builder.emit_output(twice if called else builder.emit(relax.op.nn.relu(x)))
        builder.emit_func_output(y)
    module = builder.get()
    if not called:
        module = _without_unused_bindings(module)
    spec = TensorSpec("x", (4,), "float32")
    return Model(module, (spec,), (TensorSpec("y", (4,), "float32"),), "loops", "onnx")


def _without_unused_bindings(module: tvm.IRModule) -> tvm.IRModule:
    main = relax.transform.DeadCodeElimination(["main"])(module)["main"]
    result = module.clone()
    result["main"] = main
    return result


def test_load_refuses_what_does_not_go_with_it(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.ec"
    path.write_bytes(data)
    with pytest.raises(InvalidModelError, match="is compressed for the inputs that it has"):
        load(path, shapes={"image": (1, 3, 6, 6)})
    with pytest.raises(InvalidModelError, match="go with PyTorch models, not a compressed model"):
        load(path, input_names=["x"])
    with pytest.raises(InvalidModelError, match="name must be a C identifier"):
        load(path, name="a-b")
