"""The manifest: one spelling, and nothing but that is read."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from edgecompile.artifact.manifest import FileEntry, Manifest, TensorEntry, complete, decode
from edgecompile.errors import InvalidArtifactError
from tests.artifact import tiny

ENTRY = FileEntry(sha256="0" * 64, bytes=1)
FILES = dict.fromkeys(("libtiny.so", "libtiny.a", "include/edgecompile.h", "include/tiny.h", "weights.bin"), ENTRY)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return complete(tiny.facts(), FILES)


def test_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert decode(manifest.encode()) == manifest


def test_equal_manifests_are_equal_files(manifest: Manifest) -> None:
    reordered = dict(reversed(FILES.items()))
    assert complete(tiny.facts(), reordered).encode() == manifest.encode()


def test_every_flipped_bit_is_noticed(manifest: Manifest) -> None:
    data = manifest.encode()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1
        with pytest.raises(InvalidArtifactError):
            decode(bytes(damaged))


@pytest.mark.parametrize("size", [0, 1, 100, -2])
def test_a_truncated_file_is_refused(manifest: Manifest, size: int) -> None:
    with pytest.raises(InvalidArtifactError, match="not JSON"):
        decode(manifest.encode()[:size])


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"schema_version": NaN}', b"\0"])
def test_other_content_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArtifactError, match="compile the model again"):
        decode(data)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version_is_named(manifest: Manifest, version: object) -> None:
    document = {**json.loads(manifest.encode()), "schema_version": version}
    with pytest.raises(InvalidArtifactError, match=f"schema version {version!r}, this edgecompile reads version 1"):
        decode(json.dumps(document).encode())


def test_an_unknown_key_is_named(manifest: Manifest) -> None:
    document = {**json.loads(manifest.encode()), "surprise": 1}
    with pytest.raises(InvalidArtifactError, match="malformed at surprise"):
        decode(json.dumps(document).encode())


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../b", "a//b", "./a", "", ".", "..", "a\\b", "c:x", "a\nb", "é", "manifest.json"]
)
def test_a_file_outside_the_artifact_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="no file inside the artifact"):
        complete(tiny.facts(), {**FILES, name: ENTRY})


def test_a_file_that_a_field_names_must_be_listed() -> None:
    with pytest.raises(ValidationError, match=r"'libother.so' is not among the files"):
        complete(tiny.facts(library="libother.so"), FILES)


def test_a_plan_needs_static_shapes() -> None:
    dynamic = (TensorEntry(name="x", shape=("batch", 3), dtype="float32"),)
    with pytest.raises(ValidationError, match="needs static shapes"):
        tiny.facts(inputs=dynamic)
    assert tiny.facts(inputs=dynamic, executor="vm", executor_reason="dimension 'batch' is not known").inputs == dynamic


def test_the_virtual_machine_needs_a_reason() -> None:
    with pytest.raises(ValidationError, match="says why"):
        tiny.facts(executor="vm")


@pytest.mark.parametrize("name", ["", "a-b", "1a", "a;b", "a b"])
def test_the_name_is_a_c_identifier(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        tiny.facts(name=name)


def test_two_inputs_cannot_share_a_name() -> None:
    with pytest.raises(ValidationError, match="share a name"):
        tiny.facts(inputs=(TensorEntry(name="x", shape=(1,), dtype="int8"),) * 2)


@pytest.mark.parametrize(
    "field", [{"dtype": "float31"}, {"shape": (-1,)}, {"shape": (2**31,)}, {"scale": float("inf")}]
)
def test_odd_tensors_are_refused(field: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TensorEntry.model_validate({"name": "x", "shape": (1,), "dtype": "int8", **field})
